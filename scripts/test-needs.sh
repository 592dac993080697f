#!/usr/bin/env bash
# The tests use two programs that pip cannot bring: Chromium (browser tests) and a PostgreSQL server (postgres tests).
# Where it may (root on a Debian-like system), this script installs what is missing; TUNEBOOK_APT=no forbids it.
# It says which tests will be skipped otherwise, and never fails: a missing program is no reason not to run the rest.
set -u

has_chromium() { command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null
has_dejavu() { [ -n "$(find /usr/share/fonts /usr/local/share/fonts -name DejaVuSans.ttf -print -quit 2>/dev/null)" ]; }
has_postgres() { command -v initdb >/dev/null || ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1; }

missing_packages() {
    has_chromium || echo chromium
    has_dejavu || echo fonts-dejavu-core
    has_postgres || echo postgresql
}

why_not_apt() {
    if [ "${TUNEBOOK_APT:-yes}" = no ]; then echo "TUNEBOOK_APT=no"
    elif [ "$(id -u)" != 0 ]; then echo "not root"
    elif ! command -v apt-get >/dev/null; then echo "no apt-get here"
    fi
}

# The tests start a private server of their own; Debian's package would create and start one for the whole machine.
forbid_main_cluster() {
    local conf=/etc/postgresql-common/createcluster.conf
    [ -e "$conf" ] && return
    mkdir -p "$(dirname "$conf")"
    echo "create_main_cluster = false" >"$conf"
}

install_with_apt() {
    local apt=(timeout 300 apt-get -qq -o DPkg::Lock::Timeout=120 -o Dpkg::Options::=--force-confold)
    export DEBIAN_FRONTEND=noninteractive
    "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "$@"
}

packages=$(missing_packages)
[ -n "$packages" ] || exit 0

reason=$(why_not_apt)
if [ -z "$reason" ]; then
    echo "test needs: installing" $packages
    log=$(mktemp)
    case $packages in *postgresql*) forbid_main_cluster ;; esac
    if ! install_with_apt $packages >"$log" 2>&1; then
        reason="apt-get failed"
        tail -n 3 "$log"
    fi
    rm -f "$log"
    reason=${reason:-apt-get brought none}
fi

skipped() { echo "test needs: no $1 ($reason), so tests marked '$2' will be skipped. Try: apt-get install $3"; }
has_chromium || skipped Chromium browser "chromium fonts-dejavu-core"
has_postgres || skipped "PostgreSQL server" postgres postgresql
exit 0
