'use strict'
/* Other processes: what is in them, what they can be told, and what they share with everybody. */
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const calls = require('./system-calls.cjs')

module.exports = (place) => {
  const { holds, read, shell, eachProcess, others } = require('./tools.cjs')(place)
  const database = path.join(place.home, '.keyward/keyward.db')
  const got = (text) => text.includes('got')
  return {
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
    capabilities: () =>
      !/CapEff:\t0+\n/.test(fs.readFileSync('/proc/self/status', 'latin1')) ||
      !/NoNewPrivs:\t1/.test(fs.readFileSync('/proc/self/status', 'latin1')),
    coreDump: () => !/core file size +0 +0/.test(fs.readFileSync('/proc/self/limits', 'latin1')),
    mapsOfOthers: () => eachProcess((id) => fs.readFileSync(`/proc/${id}/maps`, 'latin1').length > 0),
    argumentsOfOthers: () =>
      eachProcess((id) => /stand-in-[0-9a-f]{32}/.test(fs.readFileSync(`/proc/${id}/cmdline`, 'latin1'))),
    namespacesOfOthers: () => eachProcess((id) => (fs.closeSync(fs.openSync(`/proc/${id}/ns/mnt`, 'r')), true)),
    signalToOthers: () => others().some((id) => Number(id) > 1 && signals(Number(id))),
    ptrace: () => got(calls.ptrace(others())),
    readMemory: () => got(calls.readMemory(others())),
    takeDescriptors: () => got(calls.takeDescriptors(others())),
    sessionKeyring: () => holds(calls.readKey(place.key)),
    listedKeys: () => holds(calls.readListedKeys()),
    sharedMemory: () => holds(calls.sharedMemory(place.segment)),
    messageQueue: () => holds(calls.messageQueue(place.queue)),
    otherTerminal: () => (fs.closeSync(fs.openSync(place.terminal, 'r+')), true),
    coreDumpAgain: () => spawnSync('sh', ['-c', 'ulimit -c unlimited'], { stdio: 'ignore' }).status === 0,
    corePattern: () => (fs.writeFileSync('/proc/sys/kernel/core_pattern', '|/bin/false'), true),
    moreNamespaces: () =>
      shell(
        `echo 1000 >/proc/sys/user/max_user_namespaces; unshare -Ur true && printf %s ${place.secret}; sysctl -w user.max_user_namespaces=1000 && unshare -Ur printf %s ${place.secret}`,
      ),
    controlGroup: () =>
      fs
        .readdirSync('/sys/fs/cgroup', { recursive: true })
        .filter((name) => String(name).endsWith('cgroup.procs'))
        .some((name) => {
          try {
            fs.accessSync(path.join('/sys/fs/cgroup', String(name)), fs.constants.W_OK)
            return true
          } catch {
            return false
          }
        }),
    jobForLater: () => shell(`echo '* * * * * true' | crontab - && printf %s ${place.secret}; crontab -r`),
  }

  /** Signal 0 asks whether one could be sent. This process's own children do not count. */
  function signals(id) {
    try {
      const parent = /^PPid:\t(\d+)$/m.exec(fs.readFileSync(`/proc/${id}/status`, 'latin1'))?.[1]
      return parent !== String(process.pid) && process.kill(id, 0)
    } catch {
      return false
    }
  }
}
