'use strict'
/*
 * System calls that Node has no words for, made by perl. Each script prints `got`, and whatever it got,
 * when it reached what it wanted. Numbers are those of x86-64 and arm64, the processors on which the
 * trial runs; elsewhere nothing is tried and everything counts as closed.
 */
const { spawnSync } = require('node:child_process')

const numbers = {
  x64: {
    ptrace: 101,
    keyctl: 250,
    vmRead: 310,
    pidfdOpen: 434,
    pidfdGetfd: 438,
    mqOpen: 240,
    mqReceive: 243,
    mmap: 9,
    read: 0,
  },
  arm64: {
    ptrace: 117,
    keyctl: 219,
    vmRead: 270,
    pidfdOpen: 434,
    pidfdGetfd: 438,
    mqOpen: 180,
    mqReceive: 183,
    mmap: 222,
    read: 63,
  },
}[process.arch]

const perl = (script, ...args) => {
  if (numbers === undefined) return ''
  const head = `my %n = (${Object.entries(numbers).map(([name, number]) => `${name} => ${number}`)}); my $at = sub { unpack('J', pack('p', $_[0])) };`
  const result = spawnSync('perl', ['-MSocket', '-e', head + script, '--', ...args.map(String)], {
    encoding: 'latin1',
    timeout: 10_000,
  })
  return result.stdout
}

/*
 * One operation through io_uring(7): set up a ring of one, write the entry (64 bytes) into mapped memory
 * by way of a pipe, enter, and read the result. Sets $result.
 */
const ring = `
  my $write = sub { my ($to, $bytes) = @_; pipe(my $r, my $w); syswrite($w, $bytes); syscall($n{read}, fileno($r), $to + 0, length $bytes) };
  my $peek = sub { my ($from, $length) = @_; unpack("P$length", pack('J', $from)) };
  my $params = "\\0" x 120;
  my $ring = syscall(425, 1, $params);
  exit if $ring < 0;
  my @sq = unpack('L8', substr($params, 40, 32)); my @cq = unpack('L8', substr($params, 80, 32));
  my $map = sub { syscall($n{mmap}, 0, 4096, 3, 0x8001, $ring, $_[0]) };
  my ($sq, $cq, $entries) = ($map->(0), $map->(0x8000000), $map->(0x10000000));
  my $operation = sub { my ($code, $fd, $off, $addr, $len, $flags) = @_;
    $write->($entries, pack('CCSlQQLLQ', $code, 0, 0, $fd, $off, $addr, $len, $flags, 7) . ("\\0" x 24));
    $write->($sq + $sq[6], pack('L', 0)); $write->($sq + $sq[1], pack('L', 1));
    syscall(426, $ring, 1, 1, 1, 0, 0);
    unpack('l', $peek->($cq + $cq[5] + 8, 4)) };
`

module.exports = {
  available: numbers !== undefined,

  /** PTRACE_SEIZE (0x4206) does not stop the process; the end of perl lets it go. */
  ptrace: (ids) => perl("for (@ARGV) { print 'got' if syscall($n{ptrace}, 0x4206, $_ + 0, 0, 0) >= 0 }", ...ids),

  /** The first bytes of the program's own image, or of anything mapped. */
  readMemory: (ids) =>
    perl(
      `for my $id (@ARGV) { open(my $maps, '<', "/proc/$id/maps") or next; my ($start) = <$maps> =~ /^([0-9a-f]+)/; next unless defined $start;
       my $buffer = "\\0" x 8; my $local = pack('JJ', $at->($buffer), 8); my $remote = pack('JJ', hex $start, 8);
       print 'got' if syscall($n{vmRead}, $id + 0, $local, 1, $remote, 1, 0) == 8 }`,
      ...ids,
    ),

  /** Takes a copy of the process's descriptors, one after the other, and reads the files among them. */
  takeDescriptors: (ids) =>
    perl(
      `for my $id (@ARGV) { my $p = syscall($n{pidfdOpen}, $id + 0, 0); next if $p < 0;
       for my $fd (3 .. 40) { my $got = syscall($n{pidfdGetfd}, $p, $fd, 0); next if $got < 0; print 'got ';
         next unless -f "/proc/self/fd/$got"; if (open(my $file, '<', "/proc/self/fd/$got")) { sysread($file, my $text, 4096); print $text } } }`,
      ...ids,
    ),

  /** Searches the session keyring (-3) and the user's (-4) for a key, and reads it (KEYCTL_SEARCH 10, KEYCTL_READ 11). */
  readKey: (name) =>
    perl(
      `my $type = 'user'; for my $ring (-3, -4) { my $key = syscall($n{keyctl}, 10, $ring, $type, $ARGV[0], 0); next if $key < 0;
       my $text = "\\0" x 256; syscall($n{keyctl}, 11, $key, $text, 256) > 0 and print $text }`,
      name,
    ),

  /** The same for every key that /proc/keys shows, by its number, after trying to link it to a keyring of one's own. */
  readListedKeys: () =>
    perl(
      `open(my $list, '<', '/proc/keys') or exit; for (<$list>) { my ($hex) = /^([0-9a-f]+)/ or next; my $key = hex $hex;
       syscall($n{keyctl}, 8, $key, -3); my $text = "\\0" x 256; syscall($n{keyctl}, 11, $key, $text, 256) > 0 and print $text }`,
    ),

  sharedMemory: (key) =>
    perl('my $id = shmget($ARGV[0], 0, 0); my $text; defined $id and shmread($id, $text, 0, 256) and print $text', key),

  messageQueue: (name) =>
    perl(
      `my $queue = syscall($n{mqOpen}, $ARGV[0], 0, 0, 0); exit if $queue < 0;
       my $text = "\\0" x 8192; syscall($n{mqReceive}, $queue, $text, 8192, 0, 0) >= 0 and print $text`,
      name,
    ),

  /** SOCK_RAW (3) and ICMP (1); a packet socket (17); ICMP without privileges is SOCK_DGRAM (2). */
  socket: (family, type, protocol) =>
    perl('socket(my $s, $ARGV[0], $ARGV[1], $ARGV[2]) and print "got"', family, type, protocol),

  /** To a port of this very machine by vsock (40): its own context id is 1 (vsock(7)). */
  vsock: (port) =>
    perl(
      `socket(my $s, 40, 1, 0) or exit; connect($s, pack('SSLLC4', 40, 0, $ARGV[0], 1, 0, 0, 0, 0)) and print 'got'`,
      port,
    ),

  /** IORING_OP_OPENAT (18) from the working directory (-100). */
  ringOpen: (path) =>
    perl(
      `${ring} my $path = "$ARGV[0]\\0"; my $fd = $operation->(18, -100, 0, $at->($path), 0, 0); exit if $fd < 0;
       my $text; open(my $file, "<&=", $fd); sysread($file, $text, 4096) and print $text`,
      path,
    ),

  /** IORING_OP_CONNECT (16). */
  ringConnect: (port) =>
    perl(
      `${ring} socket(my $s, 2, 1, 0) or exit; my $to = pack_sockaddr_in($ARGV[0], inet_aton('127.0.0.1'));
       print 'got' if $operation->(16, fileno $s, length $to, $at->($to), 0, 0) == 0`,
      port,
    ),
}
