'use strict'
/*
 * What a hostile agent tries from inside. Prints one JSON object: name of the attempt to 'open' (it
 * got at what it wanted) or 'closed'. Argument: JSON with the places. Run uncontained, nearly all
 * must be open: that is how the test knows that the attempts are real.
 */
const fs = require('node:fs')
const net = require('node:net')
const path = require('node:path')

const calls = require('./system-calls.cjs')

const place = JSON.parse(process.argv[2])
const database = path.join(place.home, '.keyward/keyward.db')
const rootKey = path.join(place.home, '.keyward.root-key')
const said = {}

const { holds, read, shell, contact } = require('./tools.cjs')(place)
const namespace = (command) => shell(`unshare -Urm sh -c '${command}'`)
const leaves = (file) => {
  fs.writeFileSync(file, '#!/bin/sh\n')
  fs.rmSync(file)
  return true
}
const m = fs.mkdtempSync(path.join(place.work, 'm-'))

const attempts = {
  ...require('./attack-processes.cjs')(place),
  ...require('./attack-network.cjs')(place),
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
  relativePath: () => read(path.relative(process.cwd(), database)),
  throughRing: () => holds(calls.ringOpen(database)),
  swapOfGatewaySocket: async () => {
    fs.renameSync(place.gatewaySocket, `${place.gatewaySocket}.moved`)
    try {
      const mine = net.createServer()
      await new Promise((done, fail) => mine.once('error', fail).listen(place.gatewaySocket, done))
      mine.close()
      return true
    } finally {
      fs.renameSync(`${place.gatewaySocket}.moved`, place.gatewaySocket)
    }
  },
  newStartupFile: () => leaves(path.join(place.home, '.zshrc')),
  programInPath: () => leaves(path.join(place.programs, 'git')),
  sharedFile: () => read(place.sharedFile),
  controlSocket: () => contact(path.join(place.home, '.keyward/control.sock')),
  containerSocket: () => contact(place.containerSocket),
  sshAgentSocket: () => contact(place.sshAgentSocket),
  runtimeSocket: () => contact(path.join(place.runtime, 'bus')),
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
