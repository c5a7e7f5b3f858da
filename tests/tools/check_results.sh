#!/usr/bin/env bash
# Judges DICOM results with independent tools: dciodvfy and dcentvfy (dicom3tools), dsrdump and dcmdump (dcmtk),
# DicomSRValidator (pixelmed-apps).
#
# usage: check_results.sh FILE.dcm...
# Exit 0: no errors. 1: errors, printed by file and tool. 2: a tool is missing, or the call is wrong.
# The only errors allowed are lines of dciodvfy's 2022 edition about SyntheticData (0008,001C), which is newer.
# FAST=1 leaves out DicomSRValidator (4-10 s a file).
set -u
[ $# -gt 0 ] || { echo "usage: $0 FILE.dcm..."; exit 2; }
# Debian's Java refuses PixelMed's stylesheet without these (JAXP0801003). It runs once for each file, too short for more
# than the quick compiler and one thread to pay: with both it says the same in less than half the time.
export JAVA_TOOL_OPTIONS="-Djdk.xml.xpathExprOpLimit=0 -Djdk.xml.xpathTotalOpLimit=0 -Djdk.xml.xpathExprGrpLimit=0 \
  -XX:+UseSerialGC -XX:TieredStopAtLevel=1"
needed="dciodvfy dcentvfy dsrdump dcmdump"
[ "${FAST:-0}" = 1 ] || needed="$needed DicomSRValidator"
for tool in $needed; do
  command -v "$tool" >/dev/null || { echo "missing: $tool (apt-get install dicom3tools dcmtk pixelmed-apps)"; exit 2; }
done

bad=0
complain() { bad=1; echo "$1"; }
value_of() { dcmdump +P "$2" "$1" 2>/dev/null | sed -n 's/.*\[\(.*\)\].*/\1/p' | head -1; }

for f in "$@"; do
  [ -r "$f" ] || { complain "$f: cannot be read"; continue; }
  errors=$(dciodvfy -new "$f" 2>&1 | grep -a '^Error' | grep -av '(0008,001c)')
  [ -z "$errors" ] || complain "$f: dciodvfy: $errors"
  dcmdump "$f" >/dev/null 2>&1 || complain "$f: dcmdump cannot parse it"
  modality=$(value_of "$f" 0008,0060)
  if [ "${modality% }" = SR ]; then
    dsrdump "$f" >/dev/null 2>&1 || complain "$f: dsrdump refuses it"
    if [ "${FAST:-0}" != 1 ]; then
      # The validator's exit code is always 0.
      report=$(DicomSRValidator "$f" 2>&1)
      grep -q 'Root Template Validation Complete' <<<"$report" || complain "$f: DicomSRValidator did not finish"
      if grep -q '^Error' <<<"$report"; then complain "$f: DicomSRValidator: $(grep '^Error' <<<"$report" | sort | uniq -c)"; fi
    fi
  fi
done
errors=$(dcentvfy "$@" 2>&1 | grep -a '^Error')
[ -z "$errors" ] || complain "dcentvfy: $errors"
exit $bad
