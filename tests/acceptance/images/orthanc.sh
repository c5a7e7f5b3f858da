# What orthancteam/orthanc makes of these variables.
set -eu
cat > /etc/orthanc/stack.json <<END
{
  "Name": "$ORTHANC__NAME", "DicomAet": "$ORTHANC__DICOM_AET", "DicomModalities": $ORTHANC__DICOM_MODALITIES,
  "AuthenticationEnabled": $ORTHANC__AUTHENTICATION_ENABLED, "RegisteredUsers": $ORTHANC__REGISTERED_USERS,
  "RemoteAccessAllowed": true, "StorageDirectory": "/var/lib/orthanc/db", "IndexDirectory": "/var/lib/orthanc/db"
}
END
exec Orthanc /etc/orthanc/stack.json
