# PostgreSQL as the official image starts it: a first start makes the cluster, the user and the
# database with a server that listens on a socket only, and then the real one starts.
set -eu
if [ "$(id -u)" = 0 ]; then
    chown -R postgres "$PGDATA"
    chmod 0700 "$PGDATA"
    exec setpriv --reuid=postgres --regid=postgres --init-groups sh "$0"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    printf '%s' "${POSTGRES_PASSWORD:?}" > /tmp/password
    initdb --username="$POSTGRES_USER" --pwfile=/tmp/password --auth-local=trust \
        --auth-host=scram-sha-256 --encoding=UTF8
    rm /tmp/password
    echo 'host all all all scram-sha-256' >> "$PGDATA/pg_hba.conf"
    pg_ctl --options="-c listen_addresses=''" --wait start
    createdb --username="$POSTGRES_USER" --maintenance-db=postgres "$POSTGRES_DB"
    pg_ctl --mode=fast --wait stop
fi
exec postgres -c listen_addresses='*'
