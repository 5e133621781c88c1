import { Annotation, END, START, StateGraph } from '@langchain/langgraph'
import { openStorage } from 'holdfast'
import { HoldfastSaver } from 'holdfast/langgraph'

// An agent of LangGraph without a network: it plans a trip and books each part of it. Started again, it goes on where it was.

const [path = 'agent.db', threadId = 'trip', pauseMillis = '300'] = process.argv.slice(2)
const parts = ['train to Bergen', 'ferry to Flåm', 'hotel in Flåm', 'bus to Voss', 'train to Oslo']

const State = Annotation.Root({
  booked: Annotation<string[]>({ reducer: (before, more) => before.concat(more), default: () => [] }),
})

async function book({ booked }: typeof State.State) {
  const part = parts[booked.length] ?? 'nothing'
  console.log(`books: ${part}`)
  await new Promise((resolve) => setTimeout(resolve, Number(pauseMillis))) // it takes its time, so that one can kill it
  return { booked: [part] }
}

await using storage = await openStorage({ database: { type: 'sqlite', path } })
const graph = new StateGraph(State)
  .addNode('book', book)
  .addEdge(START, 'book')
  .addConditionalEdges('book', ({ booked }) => (booked.length < parts.length ? 'book' : END))
  .compile({ checkpointer: new HoldfastSaver(storage) })

const config = { configurable: { thread_id: threadId }, durability: 'sync' as const }
const { values } = await graph.getState(config)
// Without input a graph goes on with the thread's newest checkpoint.
const { booked } = await graph.invoke(values.booked === undefined ? { booked: [] } : null, config)
console.log(`booked: ${booked.join(', ')}`)
