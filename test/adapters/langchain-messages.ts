import {
  AIMessage,
  AIMessageChunk,
  ChatMessage,
  FunctionMessage,
  HumanMessage,
  RemoveMessage,
  SystemMessage,
  ToolMessage,
  ToolMessageChunk,
} from '@langchain/core/messages'

const usage = { input_tokens: 1, output_tokens: 2, total_tokens: 3 }
const call = { id: 'call', name: 'search', args: { query: 'Oslo' }, type: 'tool_call' as const }
const chunk = { id: 'call', name: 'search', args: '{"query":', index: 0, type: 'tool_call_chunk' as const }

/** A message of every class, by its name. */
export const MESSAGES: Record<string, (content: string, fields: Record<string, unknown>) => object> = {
  human: (content, fields) => new HumanMessage({ content, id: 'm', additional_kwargs: fields }),
  humanOfParts: (content, fields) =>
    new HumanMessage({ content: [{ type: 'text', text: content }], response_metadata: fields }),
  ai: (content, args) => new AIMessage({ content, tool_calls: [{ ...call, args }], usage_metadata: usage }),
  aiChunk: (content) => new AIMessageChunk({ content, tool_call_chunks: [chunk], usage_metadata: usage }),
  tool: (content, artifact) => new ToolMessage({ content, tool_call_id: 'call', artifact, status: 'error' }),
  toolChunk: (content) => new ToolMessageChunk({ content, tool_call_id: 'call' }),
  system: (content) => new SystemMessage(content),
  chat: (content) => new ChatMessage(content, 'reviewer'),
  function: (content) => new FunctionMessage({ content, name: 'search' }),
  remove: () => new RemoveMessage({ id: 'm' }),
}
