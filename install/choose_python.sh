# Print the Python that the environment is made with: the newest of 3.11 to 3.13 on PATH, or the one named as argument.
# It must run, and be able to make one; every match is tried, as the first may be a shim of what is not installed.
set -uf
IFS=:
found='' newest=0 reasons=''
probe='
import sys
version = "%d.%d" % sys.version_info[:2]
if sys.version_info < (3, 11):
    print("is " + version)
elif sys.version_info >= (3, 14):
    print("is " + version + ", for which the pymongo that fiftyone needs has no wheel")
else:
    try:
        import ensurepip, venv
        print(version)
    except ImportError:
        print("lacks venv (on Debian and Ubuntu: apt install python" + version + "-venv)")
'

judge() {
    verdict=$("$1" -c "$probe" 2>/dev/null) || verdict='does not run'
    case $verdict in
    3.*) if [ "${verdict#3.}" -gt "$newest" ]; then newest=${verdict#3.} found=$1; fi ;;
    *) case $reasons in *"$verdict"*) ;; *) reasons="$reasons${reasons:+; }$1 $verdict" ;; esac ;;
    esac
}

for name in ${1:-python3.13:python3.12:python3.11:python3}; do
    case $name in
    */*) judge "$name" ;;
    *)
        for folder in $PATH; do  # but not in the environment that is about to be made anew
            if [ -x "$folder/$name" ] && ! [ "$folder" -ef .venv/bin ]; then judge "$folder/$name"; fi
        done
        ;;
    esac
done

if [ -z "$found" ]; then
    : "${reasons:=${1:-python3} is not on PATH}"
    echo "error: Python 3.11, 3.12 or 3.13 is needed: $reasons; install one, or name it with make PYTHON=…" >&2
    exit 1
fi
echo "$found"
