'use strict'
/*
 * What a hostile agent tries from inside. Prints one JSON object: name of the attempt to 'open' (it
 * got at what it wanted) or 'closed'. Argument: JSON with the places. Run uncontained, nearly all
 * must be open: that is how the test knows that the attempts are real.
 */
const { spawnSync } = require('node:child_process')
const dgram = require('node:dgram')
const fs = require('node:fs')
const net = require('node:net')
const path = require('node:path')

const place = JSON.parse(process.argv[2])
const database = path.join(place.home, '.keyward/keyward.db')
const rootKey = path.join(place.home, '.keyward.root-key')
const said = {}

const holds = (text) => String(text).includes(place.secret)
const read = (file) => holds(fs.readFileSync(file, 'latin1'))
const shell = (command) => {
  const result = spawnSync('sh', ['-c', command], { encoding: 'latin1', timeout: 10_000 })
  return holds(result.stdout) || holds(result.stderr)
}
const contact = (target) =>
  new Promise((done) => {
    const socket = net.connect(target, () => socket.end())
    socket.setTimeout(2000, () => socket.destroy())
    socket
      .on('connect', () => done(true))
      .on('error', () => done(false))
      .on('close', () => done(false))
  })
const eachProcess = (use) =>
  fs.readdirSync('/proc').some((id) => {
    if (!/^\d+$/.test(id) || Number(id) === process.pid) return false
    try {
      return use(id)
    } catch {
      return false
    }
  })

const namespace = (command) => shell(`unshare -Urm sh -c '${command}'`)
const m = fs.mkdtempSync(path.join(place.work, 'm-'))

const attempts = {
  home: () => read(database),
  homeListing: () => fs.readdirSync(path.dirname(database)).includes('keyward.db'),
  rootKey: () => read(rootKey),
  symlink: () => read(path.join(place.work, 'link')),
  symlinkedDirectory: () => read(path.join(place.work, 'directory-link/keyward.db')),
  newSymlink: () => (fs.symlinkSync(rootKey, `${m}/s`), read(`${m}/s`)),
  hardLink: () => (fs.linkSync(rootKey, `${m}/h`), read(`${m}/h`)),
  hardLinkOfDatabase: () => (fs.linkSync(database, `${m}/d`), read(`${m}/d`)),
  rename: () => {
    fs.renameSync(rootKey, `${m}/r`)
    const got = read(`${m}/r`)
    fs.renameSync(`${m}/r`, rootKey)
    return got
  },
  renameOfHome: () => {
    fs.renameSync(path.dirname(database), `${m}/k`)
    const got = read(`${m}/k/keyward.db`)
    fs.renameSync(`${m}/k`, path.dirname(database))
    return got
  },
  storedLogin: () => read(path.join(place.home, '.netrc')),
  storedLoginDirectory: () => read(path.join(place.home, '.aws/credentials')),
  startupFile: () => {
    fs.appendFileSync(path.join(place.home, '.bashrc'), '# changed\n')
    return true
  },
  otherSession: () => read(place.otherSession),
  ownSessionChanged: () => (fs.chmodSync(place.ownSession, 0o600), fs.appendFileSync(place.ownSession, '//'), true),
  ownSession: () => fs.readFileSync(place.ownSession, 'utf8').includes('mine'),
  ownRoot: () => read(`/proc/self/root${database}`),
  rootOfOthers: () => eachProcess((id) => read(`/proc/${id}/root${database}`)),
  directoryOfOthers: () => eachProcess((id) => read(`/proc/${id}/cwd/home/.keyward/keyward.db`)),
  variablesOfOthers: () => eachProcess((id) => read(`/proc/${id}/environ`)),
  descriptorsOfOthers: () =>
    eachProcess((id) =>
      fs
        .readdirSync(`/proc/${id}/fd`)
        .some((fd) => Number(fd) > 2 && fs.statSync(`/proc/${id}/fd/${fd}`).isFile() && read(`/proc/${id}/fd/${fd}`)),
    ),
  memoryOfServer: () => (fs.closeSync(fs.openSync(`/proc/${place.server}/mem`, 'r')), true),
  memoryOfOthers: () => eachProcess((id) => (fs.closeSync(fs.openSync(`/proc/${id}/mem`, 'r')), true)),
  signalToServer: () => (process.kill(place.server, 'SIGUSR1'), true),
  ownDescriptors: () =>
    fs.readdirSync('/proc/self/fd').some((fd) => {
      try {
        return Number(fd) > 2 && fs.statSync(`/proc/self/fd/${fd}`).isFile() && read(`/proc/self/fd/${fd}`)
      } catch {
        return false
      }
    }),
  leftovers: () =>
    shell(`cat /tmp/keyward-contain-*/* /tmp/keyward-contain-*/*/* ${place.work}/../tmp/keyward-contain-*/*`),
  unmount: () => shell(`umount ${path.dirname(database)}; umount ${rootKey}; cat ${database} ${rootKey}`),
  namespaceUnmount: () =>
    namespace(`umount -l ${path.dirname(database)}; umount ${rootKey}; cat ${database} ${rootKey}`),
  namespaceUnmountParent: () => namespace(`umount -l ${place.home}; umount -R -l /; cat ${database} ${rootKey}`),
  namespaceBind: () =>
    namespace(`mount --bind ${place.home} ${m}; cat ${m}/.keyward/keyward.db ${m}/.keyward.root-key`),
  namespaceBindRecursive: () =>
    namespace(
      `mount --rbind ${place.home} ${m}; umount -l ${m}/.keyward; umount -l ${m}/.keyward.root-key; cat ${m}/.keyward/keyward.db ${m}/.keyward.root-key`,
    ),
  namespaceOverlay: () => namespace(`mount -t overlay o -o lowerdir=${place.home} ${m}; cat ${m}/.keyward/keyward.db`),
  namespaceMove: () => namespace(`mount --move ${path.dirname(database)} ${m}; cat ${database}`),
  namespaceAtAll: () => shell(`unshare -Ur printf %s ${place.secret}`),
  namespaceProc: () => shell(`unshare -Urmpf --mount-proc sh -c 'cat /proc/1/root${database}; cat /proc/*/environ'`),
  enterNamespaces: () =>
    shell(
      `for p in /proc/[0-9]*; do nsenter -t "\${p#/proc/}" -U -m -p cat ${database}; nsenter -t "\${p#/proc/}" -m cat ${database}; done`,
    ),
  controlSocket: () => contact(path.join(place.home, '.keyward/control.sock')),
  containerSocket: () => contact(place.containerSocket),
  sshAgentSocket: () => contact(place.sshAgentSocket),
  runtimeSocket: () => contact(path.join(place.runtime, 'bus')),
  abstractSocket: () => contact(place.abstractSocket),
  loopbackTcp: () => contact({ host: '127.0.0.1', port: place.tcpPort }),
  loopbackIpv6: () => contact({ host: '::1', port: place.tcpPort6 }),
  outwardRoute: () =>
    shell(
      `[ "$(wc -l </proc/net/route)" -gt 1 ] || [ "$(grep -vc ' lo$' /proc/net/if_inet6)" -gt 0 ] && echo ${place.secret}`,
    ),
  datagram: () =>
    new Promise((done) => {
      const socket = dgram.createSocket('udp4')
      socket.on('message', () => (socket.close(), done(true))).on('error', () => done(false))
      socket.send('x', place.udpPort, '127.0.0.1')
      setTimeout(() => done(false), 300).unref()
    }),
  capabilities: () =>
    !/CapEff:\t0+\n/.test(fs.readFileSync('/proc/self/status', 'latin1')) ||
    !/NoNewPrivs:\t1/.test(fs.readFileSync('/proc/self/status', 'latin1')),
  coreDump: () => !/core file size +0 +0/.test(fs.readFileSync('/proc/self/limits', 'latin1')),
  gateway: () => contact({ host: '127.0.0.1', port: place.gatewayPort }),
  runtimeDirectoryUsable: () => (
    fs.writeFileSync(path.join(place.runtime, 'mine'), ''),
    fs.rmSync(path.join(place.runtime, 'mine')),
    true
  ),
}

async function main() {
  for (const [name, attempt] of Object.entries(attempts)) {
    try {
      said[name] = (await attempt()) ? 'open' : 'closed'
    } catch {
      said[name] = 'closed'
    }
  }
  said.identity = `${process.getuid()}:${process.getgid()}`
  process.stdout.write(JSON.stringify(said), () => process.exit(0))
}
void main()
