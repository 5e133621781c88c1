import type { Storage } from 'holdfast'

/** Texts that run something if they are taken for markup, for a url or for code. Each would set `attacked`. */
export const ATTACKS: readonly string[] = [
  '<script>attacked=1</script>',
  '<img src=x onerror=attacked=1>',
  '"><svg onload=attacked=1>',
  "'-attacked=1-'",
  'javascript:attacked=1',
  '</script><script>attacked=1</script>',
  '<iframe srcdoc="<script>parent.attacked=1</script>">',
  '<a href="javascript:attacked=1" id=attack>x</a>',
  '<style>@import "http://evil.example/x.css";</style>',
  '<base href="http://evil.example/">',
  '<meta http-equiv=refresh content="0;url=http://evil.example/">',
  '<link rel=stylesheet href=http://evil.example/x.css>',
  '<form action=http://evil.example><input autofocus onfocus=attacked=1>',
  '<math><mtext></table><img src onerror=attacked=1>',
  '{{constructor.constructor("attacked=1")()}}',
  // biome-ignore lint/suspicious/noTemplateCurlyInString: it is what an attacker would store
  '${attacked=1}',
  '<img src="http://evil.example/pixel.png">',
  '![x](http://evil.example/pixel.png)',
  '\u202e<b onclick=attacked=1>\u2066',
  '<object data="data:text/html,<script>attacked=1</script>">',
  '#token=stolen',
  '__proto__',
]

/** All attacks, as the keys and the values of one object. */
export const EVERY = Object.fromEntries(ATTACKS.map((attack) => [attack, attack]))

/** Returns the id of the session that has an attack in each of its fields. */
export const sessionIdOf = (i: number) => `${ATTACKS[i]} ${i}`.slice(0, 200)

/** Stores every attack in every field that a model or a user can write. */
export async function storeAttacks(storage: Storage): Promise<void> {
  for (const [i, attack] of ATTACKS.entries()) {
    const id = sessionIdOf(i)
    const owner = storage.scope({ ownerId: attack })
    await owner.sessions.create({ id, title: attack, metadata: EVERY })
    await owner.messages.append(id, messagesOf(attack))
    await owner.sessions.fork(id, { id: `fork ${id}`, title: attack })
    await owner.memories.create({
      content: `${attack} word`,
      tags: [attack.replace(/\p{Cc}/gu, '').slice(0, 50)],
      metadata: EVERY,
    })
    await owner.events.append({ type: attack, sessionId: id, runId: attack, payload: EVERY })
    await owner.queues.push(id, attack, { ...EVERY, id: attack })
    await owner.approvals.request({ sessionId: id, type: attack, request: EVERY })
    const answered = await owner.approvals.request({ sessionId: id, type: attack, request: EVERY })
    await owner.approvals.respond({ id: answered.id, decision: attack, data: EVERY })
    await execute(owner, i)
    await owner.blobs.put(Buffer.from(`<script>attacked=1</script>${attack}`), {
      name: attack,
      source: attack,
      mimeType: ['text/html', 'image/svg+xml', 'image/png'][i % 3] ?? '',
      metadata: EVERY,
    })
  }
}

function messagesOf(attack: string) {
  const svg = Buffer.from(`<svg onload="attacked=1"/>`).toString('base64')
  return [
    { id: attack, role: attack.slice(0, 100), content: `${attack} word`, metadata: EVERY },
    { role: 'user', content: [{ type: attack, text: attack, [attack]: attack }] },
    {
      role: 'assistant',
      content: [{ type: 'tool-call', toolCallId: attack, toolName: attack, name: attack, input: EVERY }],
      metadata: { tool_calls: [{ id: attack, function: { name: attack, arguments: attack } }, null, attack] },
    },
    { role: 'tool', content: [{ type: 'tool-result', toolCallId: attack, toolName: attack, output: EVERY }] },
    { role: 'tool', content: attack },
    {
      role: 'assistant',
      content: [
        { type: 'reasoning', text: attack },
        { type: 'text', text: attack },
      ],
    },
    {
      role: 'user',
      content: [
        { type: 'image', image: `data:image/svg+xml;base64,${svg}` },
        { type: 'image_url', image_url: { url: 'http://evil.example/pixel.png' } },
        { type: 'image', image: `data:image/png;base64,${Buffer.from(attack).toString('base64')}` },
        { type: 'file', url: `data:text/html,${attack}` },
      ],
    },
  ]
}

async function execute({ toolExecutions }: Pick<Storage, 'toolExecutions'>, i: number): Promise<void> {
  const attack = ATTACKS[i] ?? ''
  const identity = { runId: attack, turnId: attack, modelStepId: attack, toolCallId: attack }
  const { record } = await toolExecutions.start({ identity, toolName: attack, input: EVERY })
  if (i % 4 === 1) await toolExecutions.complete(record.executionId, EVERY)
  if (i % 4 === 2) await toolExecutions.fail(record.executionId, EVERY)
  if (i % 4 === 3) await toolExecutions.cancel(record.executionId, EVERY)
}
