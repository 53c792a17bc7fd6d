/**
 * The launcher of Linux: one constant shell script, run as process 1 of the new namespaces by
 * `unshare`. Everything variable reaches it as an argument, never as text of the script.
 *
 * Arguments: scratch directory, uid, gid, working directory, then pairs of step and path, `--`, and
 * the command. It ends with the exit status of the command (128 + n for signal n), or with 125 when
 * a step fails; the command is then never started.
 *
 * The agent's own user namespace is the only one that may be made in here: in a further one it could take
 * the mounts out of its sight and rename what they cover, so that the next agent finds nothing covered.
 */
export type LaunchStep =
  /** Covers a directory with an empty one that nobody can write. */
  | { readonly kind: 'directory'; readonly path: string }
  /** Covers a file or socket with an empty file that nobody can write. */
  | { readonly kind: 'file'; readonly path: string }
  /** The same for a socket that some program listens on now, or a terminal. It may be gone, or lie where this user cannot look: then the agent, with fewer rights, has nothing to reach either. */
  | { readonly kind: 'socket'; readonly path: string }
  /** Covers a directory with an empty one of the agent's own (the runtime directory). */
  | { readonly kind: 'own'; readonly path: string }
  /** Covers a directory for shared memory with an empty one of the agent's own. */
  | { readonly kind: 'memory'; readonly path: string }
  /** Makes a folder a mount point of its own, so that it cannot be renamed. */
  | { readonly kind: 'pin'; readonly path: string }
  /** Makes a path read-only; `options` are the flags that its mount already has and must keep. */
  | { readonly kind: 'readOnly'; readonly path: string; readonly options: readonly string[] }
  /** Lays a path aside before its parent is covered, and `return` puts it back. */
  | { readonly kind: 'keepDirectory' | 'keepFile' | 'return'; readonly path: string }
  /** Stands between the paths laid aside and those put back: `return` counts from the first again. */
  | { readonly kind: 'restart'; readonly path: '' }

/** Where the launcher looks for its own tools: the agent's PATH may hold anything. */
export const toolDirectories = ['/usr/sbin', '/usr/bin', '/sbin', '/bin', '/run/current-system/sw/bin'] as const

/**
 * Listens inside the new network and hands the listening socket to the process outside over Node's
 * channel, then ends: nothing of Keyward's stays in there that an agent could reach.
 */
const handOverListener = [
  "const s=require('net').createServer()",
  "s.on('error',()=>process.exit(1))",
  "process.on('disconnect',()=>process.exit(1))",
  "process.on('message',()=>process.exit(0))",
  "s.listen(Number(process.argv[1]),'127.0.0.1',()=>process.send('listening',s))",
].join(';')

export const launcherScript = `set -eu
fail() { printf 'keyward: containment failed at %s\\n' "$1" >&2; exit 125; }
agent_path=\${PATH-}
PATH=${toolDirectories.join(':')}
umask_before=$(umask); umask 077
scratch=$1 uid=$2 gid=$3 cwd=$4 network=$5 node=$6 port=$7; shift 7
if [ "$network" = gateway ]; then
  if command -v ip >/dev/null; then ip link set lo up; else ifconfig lo up; fi || fail 'network lo'
  NODE_OPTIONS= NODE_EXTRA_CA_CERTS= "$node" --disable-sigusr1 -e '${handOverListener.replaceAll("'", `'"'"'`)}' "$port" || fail 'network gateway'
fi
unset NODE_CHANNEL_FD NODE_CHANNEL_SERIALIZATION_MODE
echo 1 >/proc/sys/user/max_user_namespaces || fail 'user namespaces'
exec 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
# The agent's own user namespace is the last one: in a further one it could leave the covered tree and
# rename what is covered, because the kernel guards mount points in the caller's namespace only.
limit=/proc/sys/user/max_user_namespaces
if [ -w "$limit" ]; then echo 1 >"$limit" || fail "$limit"; fi
mount -n -t tmpfs -o mode=0755,size=256k,nosuid,nodev keyward "$scratch" || fail "$scratch"
mkdir -m 0555 "$scratch/directory"; : >"$scratch/file"
kept=0
while [ "$1" != -- ]; do
  case $1 in
    directory) mount -n --bind "$scratch/directory" "$2" ;;
    file) mount -n --bind "$scratch/file" "$2" ;;
    socket) mount -n --bind "$scratch/file" "$2" 2>/dev/null || [ ! -e "$2" ] ;;
    pin) mount -n --rbind "$2" "$2" ;;
    own) mount -n -t tmpfs -o mode=0700,size=64m,nosuid,nodev keyward "$2" ;;
    memory) mount -n -t tmpfs -o mode=1777,nosuid,nodev keyward "$2" ;;
    ro*) mount -n --rbind "$2" "$2" && mount -n -o "remount,bind,$1" "$2" ;;
    keepDirectory) kept=$((kept + 1)); mkdir "$scratch/$kept" && mount -n --rbind "$2" "$scratch/$kept" ;;
    keepFile) kept=$((kept + 1)); : >"$scratch/$kept" && mount -n --bind "$2" "$scratch/$kept" ;;
    return)
      kept=$((kept + 1))
      if [ -d "$scratch/$kept" ]; then mkdir -p "$2" && mount -n --rbind "$scratch/$kept" "$2"
      else mkdir -p "\${2%/*}" && : >>"$2" && mount -n --bind "$scratch/$kept" "$2"; fi ;;
    restart) kept=0 ;;
    *) false ;;
  esac || fail "$2"
  shift 2
done
shift
mount -n -o remount,ro,mode=0755,size=256k,nosuid,nodev keyward "$scratch" || fail "$scratch"
unshare=$(command -v unshare) setpriv=$(command -v setpriv)
cd "$cwd" || fail "$cwd"
ulimit -c 0
umask "$umask_before"
drop=
[ "$uid" != 0 ] || drop='--bounding-set=-all --inh-caps=-all --ambient-caps=-all'
set +e
unset OLDPWD
PATH=$agent_path
exec 4>&2 2>/dev/null
trap : INT QUIT TERM HUP
(exec "$unshare" -U --map-user="$uid" --map-group="$gid" -- "$setpriv" --no-new-privs $drop -- "$@" 2>&4 4>&-)
exit $?
`

/** The steps as the script takes them, in the order in which they must happen. */
export function stepArguments(steps: readonly LaunchStep[]): string[] {
  return steps.flatMap((step) => [step.kind === 'readOnly' ? ['ro', ...step.options].join(',') : step.kind, step.path])
}
