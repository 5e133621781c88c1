import type { BatchObservableResult, Meter } from '@opentelemetry/api'
import { databaseCounters } from '../observability/counters.ts'
import { sourceAttributes } from './otel-attributes.ts'

/** Observes the counters of all databases of the process whenever metrics are collected. Returns the function that ends it. */
export function observeCounters(meter: Meter): () => void {
  const requests = meter.createObservableCounter('holdfast.cache.requests', {
    description: 'Reads of rows through the cache, by its answer.',
    unit: '{request}',
  })
  const wait = meter.createObservableCounter('holdfast.write_queue.wait', {
    description: 'Time that calls have waited for the writer of SQLite.',
    unit: 's',
  })
  const pending = meter.createObservableUpDownCounter('holdfast.pool.pending', {
    description: 'Calls that wait for a connection of the pool to PostgreSQL.',
    unit: '{request}',
  })
  const bytes = meter.createObservableCounter('holdfast.blob.bytes', {
    description: 'Bytes of blobs that were read from the blob store, and written to it.',
    unit: 'By',
  })
  const observables = [requests, wait, pending, bytes]
  const observe = (result: BatchObservableResult) => {
    for (const counters of databaseCounters()) {
      const source = sourceAttributes(counters)
      for (const [answer, count] of Object.entries(counters.cache)) {
        result.observe(requests, count, { ...source, 'holdfast.cache.result': answer })
      }
      if (counters.database === 'sqlite') result.observe(wait, counters.writeQueueWaitMs / 1000, source)
      else result.observe(pending, counters.poolPending, source)
      result.observe(bytes, counters.blobBytes.read, { ...source, 'holdfast.blob.direction': 'read' })
      result.observe(bytes, counters.blobBytes.written, { ...source, 'holdfast.blob.direction': 'write' })
    }
  }
  meter.addBatchObservableCallback(observe, observables)
  return () => meter.removeBatchObservableCallback(observe, observables)
}
