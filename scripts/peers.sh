#!/usr/bin/env bash
# Environments for the packages that benchmarks/search.py and tables.py compare with: .venvs/NAME from
# benchmarks/peers/NAME.txt.
#   scripts/peers.sh                   all of them (4.3 GB, most of it torch, twice)
#   scripts/peers.sh hyperopt smac     some
# One that cannot be installed is left out with the reason, and the benchmarks say so; that is no failure.
set -u
cd "$(dirname "${BASH_SOURCE[0]}")/.."

python=.venv/bin/python
pip_args=${PIP_ARGS:-}

build() {
    local name=$1 pins=benchmarks/peers/$1.txt home=.venvs/$1
    if [ ! -f "$pins" ]; then
        echo "peers: there is no $pins; there are $(basename -s .txt benchmarks/peers/*.txt | xargs)"
        return
    fi
    if [ "$home/installed" -nt "$pins" ]; then return; fi
    echo "peers: installing $name into $home"
    rm -rf "$home"
    local log
    log=$(mktemp)
    if "$python" -m venv --without-pip "$home" &&
        $python -m pip --python "$home/bin/python" install -qq --disable-pip-version-check $pip_args -r "$pins" >"$log" 2>&1; then
        touch "$home/installed"
    else
        echo "peers: $name could not be installed and is left out:"
        grep -v '^WARNING' "$log" | tail -n 3
        rm -rf "$home"
    fi
    rm -f "$log"
}

if [ $# = 0 ]; then set -- $(basename -s .txt benchmarks/peers/*.txt); fi
for peer in "$@"; do build "$peer"; done
exit 0
