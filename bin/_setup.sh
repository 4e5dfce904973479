# Sourced by the scripts beside it: gives $root (the checkout), $python (of its own environment) and need EXTRAS.
#
#   VIDANON_VENV     where the environment lives (default: .venv in the checkout)
#   VIDANON_PYTHON   the Python to make it with (default: the first of python3.11 ... python3 that is 3.11 or newer)
#   VIDANON_RUNTIME  cpu (default) or gpu: which onnxruntime to install
# pip's own settings (PIP_INDEX_URL, PIP_FIND_LINKS, ...) are respected: that is how to choose a CPU build of torch.
# Everything said here goes to stderr: stdout belongs to the command.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P) || exit 1
venv=${VIDANON_VENV:-$root/.venv}
python=$venv/bin/python
stamp=$venv/.vidanon-setup
log=$venv/setup.log

say() { printf 'vidanon: %s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# The Python to make the environment with.
find_python() {
    local candidate
    for candidate in ${VIDANON_PYTHON:+"$VIDANON_PYTHON"} python3.11 python3.12 python3.13 python3; do
        if "$candidate" -c 'import sys; raise SystemExit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            "$candidate" -c 'import ensurepip, venv' >/dev/null 2>&1 ||
                die "$candidate cannot make an environment; install its venv module (Debian: apt-get install python3-venv)"
            printf '%s\n' "$candidate"
            return
        fi
        [ "$candidate" = "${VIDANON_PYTHON:-}" ] && die "VIDANON_PYTHON=$candidate is not Python 3.11 or newer"
    done
    die "no Python 3.11 or newer found; install one, or set VIDANON_PYTHON to its path"
}

check_disk() {
    local parent=$venv free
    while [ ! -d "$parent" ]; do parent=$(dirname "$parent"); done
    [ -w "$parent" ] || die "cannot write to $parent; set VIDANON_VENV to a folder to install into"
    free=$(df -Pk "$parent" 2>/dev/null | awk 'NR == 2 {print int($4 / 1048576)}')
    case $free in
        '' | *[!0-9]*) ;;
        0 | 1 | 2) die "$free GB free in $parent; the set-up needs 3 GB (8 GB with the CUDA build of torch): free some, or set VIDANON_VENV" ;;
        3 | 4 | 5 | 6 | 7) say "$free GB free in $parent: enough for a CPU build of torch, not for the CUDA build" ;;
    esac
}

# What the environment was made from: this checkout, these requirements, this Python.
fingerprint() {
    { printf '%s\n' "$root" "${VIDANON_PYTHON:-}" && cat "$root/pyproject.toml" "$root/constraints.txt" "$root/setup.py"; } | cksum | tr ' ' '-'
}

# is_ready FINGERPRINT EXTRA...: made from this, and with all of these extras?
is_ready() {
    local made extras extra
    [ -x "$python" ] && { read -r made && read -r extras; } 2>/dev/null <"$stamp" || return 1
    [ "$made" = "$1" ] || return 1
    shift
    for extra; do
        case ",$extras," in *",$extra,"*) ;; *) return 1 ;; esac
    done
}

# install LABEL ARGUMENTS...: pip, quietly, saying every 20 s that it goes on.
install() {
    local label=$1 pid waited=0 status=0
    shift
    "$python" -m pip install --disable-pip-version-check --no-input -c "$root/constraints.txt" "$@" >>"$log" 2>&1 </dev/null &
    pid=$!
    trap 'kill "$pid" 2>/dev/null; say "set-up interrupted; the next run takes it up again"; exit 130' INT TERM
    while kill -0 "$pid" 2>/dev/null; do
        sleep 1
        waited=$((waited + 1))
        [ $((waited % 20)) -eq 0 ] && say "  $label ... $waited s"
    done
    wait "$pid" || status=$?
    trap - INT TERM
    [ "$status" -eq 0 ] && return
    say "the last lines of $log:"
    tail -n 6 "$log" >&2
    die "installing $label failed; check the network and pip's settings, then run this again"
}

make_environment() { # FINGERPRINT EXTRA...
    local made=$1 extras old base
    shift
    extras=$(IFS=,; printf '%s' "$*")
    base=$(find_python) || exit 1
    check_disk
    if [ -s "$stamp" ] && old=$(sed -n 2p "$stamp") && [ -n "$old" ]; then
        if [ "$(sed -n 1p "$stamp")" = "$made" ]; then
            say "adding what $(basename "$0") needs to $venv"
        else
            say "the requirements changed: bringing $venv up to date"
        fi
        extras=$(printf '%s,%s' "$old" "$extras" | tr ',' '\n' | sort -u | paste -sd, -)
    else
        say "first run: installing into $venv (about 2 GB, some minutes)"
    fi
    if ! "$python" -m pip --version >/dev/null 2>&1; then
        "$base" -m venv --clear "$venv" >&2 || die "could not make an environment in $venv with $base"
    fi
    rm -f "$stamp"
    : >"$log"
    install "build tools" setuptools
    install "vidanon and what it needs" --no-build-isolation -e "$root[$extras]"
    printf '%s\n%s\n' "$made" "$extras" >"$stamp.new" && mv "$stamp.new" "$stamp"
    say "set-up done"
}

# need EXTRA...: the environment is there, with these extras. Only one of several processes makes it; the others wait.
need() {
    local made lock
    made=$(fingerprint)
    is_ready "$made" "$@" && return
    lock=$venv-lock
    mkdir -p "$lock" 2>/dev/null || die "cannot write beside $venv; set VIDANON_VENV to a folder to install into"
    if command -v flock >/dev/null 2>&1; then
        exec 9>"$lock/flock"
        flock -n 9 || { say "another process is setting up; waiting for it"; flock 9; }
        is_ready "$made" "$@" || make_environment "$made" "$@"
        exec 9>&-
    else
        until mkdir "$lock/held" 2>/dev/null; do
            if ! kill -0 "$(cat "$lock/held/pid" 2>/dev/null || echo $$)" 2>/dev/null; then
                rm -rf "$lock/held"
                continue
            fi
            sleep 1
        done
        echo $$ >"$lock/held/pid"
        trap 'rm -rf "$lock/held"' EXIT
        is_ready "$made" "$@" || make_environment "$made" "$@"
        rm -rf "$lock/held"
        trap - EXIT
    fi
}

runtime() {
    case ${VIDANON_RUNTIME:-cpu} in
        cpu | gpu) printf '%s' "${VIDANON_RUNTIME:-cpu}" ;;
        *) die "VIDANON_RUNTIME=$VIDANON_RUNTIME: choose cpu or gpu" ;;
    esac
}

# need_program NAME WHAT_FOR: a system package of that name, which the product itself never calls.
need_program() {
    command -v "$1" >/dev/null 2>&1 && return
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
        say "installing $1 ($2)"
        { apt-get install -y -qq "$1" || { apt-get update -qq && apt-get install -y -qq "$1"; }; } >/dev/null 2>&1 </dev/null
        command -v "$1" >/dev/null 2>&1 && return
    fi
    say "$1 is not installed: what needs it is skipped (Debian: apt-get install $1)"
}

need_ffmpeg() { need_program ffmpeg "tests and benchmarks make clips with it"; }
need_chromium() { need_program chromium "tests open the HTML report in it"; }
