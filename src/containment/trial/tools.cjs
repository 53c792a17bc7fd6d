'use strict'
/* What the attempts have in common. `place` says where everything is, and what the secret is. */
const { spawnSync } = require('node:child_process')
const fs = require('node:fs')
const net = require('node:net')

module.exports = (place) => {
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
  /** Ids of all processes but this one that are to be seen. */
  const others = () => fs.readdirSync('/proc').filter((id) => /^\d+$/.test(id) && Number(id) !== process.pid)
  return { holds, read, shell, contact, eachProcess, others }
}
