import { setTimeout as sleep } from 'node:timers/promises'
import { Annotation, END, START, StateGraph } from '@langchain/langgraph'
import { openStorage } from 'holdfast'
import { HoldfastSaver } from 'holdfast/langgraph'
import { say } from '../../setup/say.ts'
import { silent } from '../../setup/silent.ts'

// Counts to five, slowly, in a graph on the storage that the first argument configures. Says each number when it begins with it.

const [config = '{}'] = process.argv.slice(2)
const State = Annotation.Root({ done: Annotation<number[]>({ reducer: (a, b) => a.concat(b), default: () => [] }) })

await using storage = await openStorage(JSON.parse(config), { logger: silent })
const graph = new StateGraph(State)
  .addNode('step', async ({ done }) => {
    say(done.length)
    await sleep(100)
    return { done: [done.length] }
  })
  .addEdge(START, 'step')
  .addConditionalEdges('step', ({ done }) => (done.length < 6 ? 'step' : END))
  .compile({ checkpointer: new HoldfastSaver(storage) })

const thread = { configurable: { thread_id: 'count' }, durability: 'sync' as const }
const isNew = (await graph.getState(thread)).config.configurable?.checkpoint_id === undefined
say((await graph.invoke(isNew ? { done: [] } : null, thread)).done)
