#!/usr/bin/env bash
# The tools that the tests need as peers and judges, none of them written here: installed when root, else named.
# With "viewer" also what opens the results in OHIF, with "image" what builds and runs the image (make test-full); without them those tests
# skip, so that is no fault.
set -eu
declare -A package=(
  [dcmsend]=dcmtk [dciodvfy]=dicom3tools [Orthanc]=orthanc [DicomSRValidator]=pixelmed-apps
  [/usr/share/orthanc/plugins/libOrthancDicomWeb.so]=orthanc-dicomweb
  [rsyslogd]=rsyslog [/usr/lib/$(uname -m)-linux-gnu/rsyslog/lmnsd_ossl.so]=rsyslog-openssl [promtool]=prometheus
)
[ "${1:-}" != viewer ] || package+=([chromium]=chromium [node]=nodejs [npm]=npm [nginx]=nginx-light)
[ "${1:-}" != image ] || package+=(
  [buildah]=buildah [podman]=podman [runc]=runc [mmdebstrap]=mmdebstrap [iptables]=iptables
  [/usr/lib/podman/netavark]=netavark [/usr/lib/podman/aardvark-dns]=aardvark-dns
)
missing=()
for tool in "${!package[@]}"; do
  command -v "$tool" >/dev/null || [ -e "$tool" ] || [ -x "/usr/sbin/$tool" ] || [ -x "/usr/bin/$tool" ] || missing+=("${package[$tool]}")
done
[ ${#missing[@]} -eq 0 ] && exit 0
install=(apt-get install -y --no-install-recommends "${missing[@]}")
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive "${install[@]}" >/dev/null
else
  echo "The tests need tools that are missing here. Install them with:"
  echo "  sudo ${install[*]}"
  [ -n "${1:-}" ]
fi
