import { expect, test } from 'vitest'
import { aliasesOf, lockedOptions, mountOf, parseMounts } from './mounts.ts'

const mounts = parseMounts(
  [
    '27 1 254:0 / / rw,relatime - ext4 /dev/vda rw',
    '40 27 254:1 / /home rw,nosuid,nodev,relatime shared:3 - ext4 /dev/vdb rw',
    '41 27 254:1 /ada /mnt/copy rw,relatime - ext4 /dev/vdb rw',
    '42 27 254:1 /ada/.keyward/journal /srv/journal ro - ext4 /dev/vdb rw',
    '43 27 254:1 /bob /mnt/other rw - ext4 /dev/vdb rw',
    String.raw`44 27 254:1 / /mnt/with\040space rw - ext4 /dev/vdb rw`,
    'not a line',
  ].join('\n'),
)

test('a path is found again wherever a bind mount shows it or a part of it', () => {
  expect(aliasesOf('/home/ada/.keyward', mounts).toSorted()).toEqual(
    ['/home/ada/.keyward', '/mnt/copy/.keyward', '/mnt/with space/ada/.keyward', '/srv/journal'].toSorted(),
  )
})

test('a path of another file system with the same name is no alias', () => {
  expect(aliasesOf('/ada/.keyward', mounts)).toEqual(['/ada/.keyward'])
  expect(aliasesOf('/home/adam', mounts)).toEqual(['/home/adam', '/mnt/with space/adam'])
})

test('the mount above a path is the longest, and the last of equals', () => {
  const stacked = [...mounts, ...parseMounts('50 40 0:9 / /home rw - tmpfs tmpfs rw')]
  expect(mountOf('/home/ada', stacked)?.device).toBe('0:9')
  expect(mountOf('/homework', stacked)?.point).toBe('/')
})

test('flags that a namespace may not drop are kept', () => {
  expect(lockedOptions('/home/ada', mounts)).toEqual(['nosuid', 'nodev', 'relatime'])
})
