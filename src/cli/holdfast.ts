#!/usr/bin/env node
import module from 'node:module'

// Node 22.1 and newer keep compiled code in the temporary directory: the next command starts sooner. The types are those of 20.
const { enableCompileCache } = module as { enableCompileCache?: () => void }
enableCompileCache?.()
const { main } = await import('./main.ts')

process.exitCode = await main(process.argv.slice(2))
