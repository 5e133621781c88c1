import type { Dialect } from '../../src/database/db.ts'

/** Returns statements that insert rows of every table, as version 0005, the first six migrations, had them. `chat` belongs to ada, `plain` to nobody, and `s0` to `s9` to bob or nobody. */
export function rowsOf(dialect: Dialect): string[] {
  const at = dialect === 'sqlite' ? '1000' : "'1970-01-01T00:00:01Z'"
  const [yes, no] = dialect === 'sqlite' ? ['1', '0'] : ['true', 'false']
  const session = (id: string, owner: string) => `('${id}', ${owner}, '{}', 1, ${at}, ${at}, 2, 2, ${at})`
  const many = Array.from({ length: 10 }, (_, i) => session(`s${i}`, i % 2 === 0 ? "'bob'" : 'null'))
  const messages = ['chat', 'plain', ...many.map((_, i) => `s${i}`)].flatMap((id) =>
    [1, 2].map((seq) => `('${id}', ${seq}, 'm${seq}', 'user', '"${id} ${seq}"', '{}', ${at})`),
  )
  return [
    `insert into sessions (id, owner_id, metadata, version, created_at, updated_at, last_seq, message_count, last_active_at)
     values ${[session('chat', "'ada'"), session('plain', 'null'), ...many].join()}`,
    `insert into messages (session_id, seq, id, role, content, metadata, created_at) values ${messages.join()}`,
    `insert into kv (key, value, version, created_at, updated_at) values ('k', '1', 1, ${at}, ${at})`,
    `insert into lists (key, length) values ('l', 1)`,
    `insert into list_items (key, position, value) values ('l', 0, '"item"')`,
    `insert into memories (id, content, pinned, metadata, created_at, updated_at) values ('mem', 'x', ${no}, '{}', ${at}, ${at})`,
    `insert into memory_tags (memory_id, tag, position, created_at) values ('mem', 'tag', 0, ${at})`,
    `insert into events (id, type, session_id, occurred_at) values ('e1', 't', 'chat', ${at}), ('e2', 't', null, ${at})`,
    `insert into queues (session_id, name, last_position) values ('chat', 'q', 1), ('none', 'q', 1)`,
    `insert into queue_items (session_id, queue, position, id, item)
     values ('chat', 'q', 1, 'a', '{"id":"a"}'), ('none', 'q', 1, 'b', '{"id":"b"}')`,
    `insert into prompts (name, content, metadata, version, created_at, updated_at) values ('p', '1', '{}', 1, ${at}, ${at})`,
    `insert into workspaces (id, path, metadata, is_current, created_at, updated_at) values ('w', '/w', '{}', ${yes}, ${at}, ${at})`,
    `insert into tool_state (tool, key, value, updated_at) values ('t', 'k', '1', ${at})`,
    `insert into tool_executions (id, run_id, turn_id, model_step_id, tool_call_id, tool_name, status, started_at)
     values ('x', 'r', 't', 's', 'c', 'tool', 'running', ${at})`,
    `insert into approvals (id, session_id, type, created_at) values ('a1', 'chat', 't', ${at}), ('a2', null, 't', ${at})`,
    `insert into approval_states (scope, state, updated_at) values ('chat', '"ask"', ${at}), ('', '"auto"', ${at})`,
    `insert into allowed_tools (scope, tool, created_at) values ('chat', 'shell', ${at}), ('', 'search', ${at})`,
    `insert into tool_preferences (scope, preferences, updated_at)
     values ('chat', '{"autoApproved":["shell"],"disabled":[]}', ${at}), ('', '{"autoApproved":[],"disabled":[]}', ${at})`,
    `insert into blob_content (hash, size, state) values ('h', 1, 'live')`,
    `insert into blobs (id, hash, mime_type, metadata, created_at, last_used_at) values ('b', 'h', 'text/plain', '{}', ${at}, ${at})`,
    `insert into blob_refs (blob_id, session_id, message_id) values ('b', 'chat', 'm1'), ('b', 's0', 'm1'), ('b', 's1', 'm2')`,
    `insert into blob_leases (id, hash, expires_at) values ('l', 'h', ${at})`,
    `insert into maintenance_leases (step, holder, expires_at) values ('s', 'h', ${at})`,
  ]
}
