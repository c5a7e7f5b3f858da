# What the image of PostgreSQL does at its first start, by the same variables. The socket: podman hides what the image has below /run.
set -eu
bin=/usr/lib/postgresql/17/bin PGDATA=/var/lib/postgresql/data
export PGDATA
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  printf %s "$POSTGRES_PASSWORD" > /tmp/password
  $bin/initdb --username="$POSTGRES_USER" --pwfile=/tmp/password --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8
  rm /tmp/password
  echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
  echo "CREATE DATABASE \"$POSTGRES_DB\"" | $bin/postgres --single -j postgres
fi
exec $bin/postgres -c listen_addresses='*' -c unix_socket_directories=/tmp
