import { request } from 'node:http'
import { text } from 'node:stream/consumers'
import type { Storage } from 'holdfast'
import { startStudio } from 'holdfast/studio'
import { onTestFinished } from 'vitest'

export interface Asked {
  method?: string
  headers?: Record<string, string>
  body?: string
}

export interface Answered {
  status: number
  headers: Record<string, string | string[] | undefined>
  body: string
}

/** Starts Studio until the test ends. `ask` sends exactly what it is given: no client of the web lets a Host be chosen. */
export async function served(storage: Storage, options: { write?: boolean } = {}) {
  const studio = await startStudio(storage, options)
  onTestFinished(() => studio.close())
  const token = new URL(studio.url).hash.replace('#token=', '')
  const authorized = { authorization: `Bearer ${token}` }
  const ask = (path: string, { method = 'GET', headers = {}, body }: Asked = {}) =>
    new Promise<Answered>((resolve, reject) => {
      const asking = request(
        { host: '127.0.0.1', port: studio.port, path, method, headers, agent: false },
        (response) => {
          text(response).then(
            (received) => resolve({ status: response.statusCode ?? 0, headers: response.headers, body: received }),
            reject,
          )
        },
      )
      asking.on('error', reject)
      asking.end(body)
    })
  /** Asks as the page does, and returns the JSON. */
  const json = async (path: string, asked: Asked = {}) => {
    const { status, body } = await ask(`/api/${path}`, { ...asked, headers: { ...authorized, ...asked.headers } })
    return { status, json: JSON.parse(body) }
  }
  return { ...studio, token, authorized, ask, json }
}
