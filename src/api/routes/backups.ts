import type { Asked, ControlParts, Handlers } from '../parts.ts'

export const backupRoutes: Handlers<'POST /backups/:id/file' | 'POST /backups/names'> = {
  'POST /backups/:id/file': (parts, { path, input, actor }) => parts.backups.keep(path.id, input, actor),

  'POST /backups/names': (parts, { input }) => ({
    known: parts.backups.recognise(input.names).map((one) => ({ ...one })),
    storeId: parts.records.storeId,
    keysChangedAt: parts.backups.keysChangedAt(),
  }),
}

/** A backup as it is made; where it breaks off, so does the answer. */
export async function streamBackup(
  parts: ControlParts,
  { input, actor }: Pick<Asked<'POST /backups'>, 'input' | 'actor'>,
): Promise<Response> {
  const { id, bytes } = await parts.backups.make({ journal: input.journal }, actor)
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const next = await bytes.next()
        if (next.done === true) controller.close()
        else controller.enqueue(next.value)
      },
      async cancel() {
        await bytes.return(undefined)
      },
    },
    { highWaterMark: 0 },
  )
  const headers = { 'content-type': 'application/octet-stream', 'cache-control': 'no-store', 'keyward-backup': id }
  return new Response(body, { headers })
}
