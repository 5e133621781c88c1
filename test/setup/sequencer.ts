import { BaseSequencer, type TestSpecification } from 'vitest/node'

/** Small files that run for long: they import the contracts of all repositories. */
const LONG = /\/(repositories\/contract|own-backends|database\/unprepared)\.test\.ts$/

/** Runs files in Vitest's order, the largest first, but the long ones before: at the end one would keep a single process busy. */
export class Sequencer extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files)
    const isLong = ({ moduleId }: TestSpecification) => LONG.test(moduleId)
    return [...sorted.filter(isLong), ...sorted.filter((file) => !isLong(file))]
  }
}
