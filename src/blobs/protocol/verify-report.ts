/** What `verify` looks for, in this order: `docs/blobs.md` says what each finds. */
export type VerifyStep = 'staged' | 'damaged' | 'missing' | 'unreferenced' | 'strays' | 'usage'

export interface VerifyOptions {
  /** Default false: nothing is changed. */
  repair?: boolean | undefined
  /** Called after each thing that was looked at. */
  onProgress?: ((progress: { step: VerifyStep; checked: number; found: number }) => void) | undefined
}

/** What one step found. */
export interface VerifyReport {
  step: VerifyStep
  /** How many things it looked at. */
  checked: number
  found: number
  /** How many of them it set right; none unless asked to. */
  repaired: number
  /** The first hundred of what was found: hashes, or the names of counters. */
  items: string[]
}

export interface BlobVerification {
  /** Whether nothing was found. */
  ok: boolean
  steps: VerifyReport[]
}
