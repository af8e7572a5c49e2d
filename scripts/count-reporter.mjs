// A vitest reporter that writes how many tests passed and failed to the file that FACTLIB_TEST_COUNTS names. What did not run
// counts as failed: a skipped test, a file that could not be loaded, a hook that threw, an error that nobody caught, a project
// without tests.
import { writeFileSync } from 'node:fs'

// biome-ignore lint/style/noDefaultExport: vitest loads a reporter's default export
export default class CountReporter {
  #projects = []

  onInit(vitest) {
    this.#projects = vitest.projects.map(({ name }) => name)
  }

  onTestRunEnd(modules, unhandledErrors, reason) {
    let passed = 0
    const failures = []
    for (const module of modules) {
      const file = `${module.project.name}: ${module.relativeModuleId}`
      for (const test of module.children.allTests()) {
        const { state } = test.result()
        if (state === 'passed') passed += 1
        else failures.push(`${file} > ${test.fullName} (${state})`)
      }
      for (const suite of [module, ...module.children.allSuites()]) {
        for (const error of suite.errors()) failures.push(`${file}: ${error.message}`)
      }
      if ([...module.children.allTests()].length === 0) failures.push(`${file}: no test in it`)
    }
    for (const error of unhandledErrors) failures.push(`unhandled: ${error.message}`)
    if (reason === 'interrupted') failures.push('the run was interrupted')
    const withTests = new Set(modules.map(({ project }) => project.name))
    const emptyProjects = this.#projects.filter((name) => !withTests.has(name))
    writeFileSync(process.env.FACTLIB_TEST_COUNTS, JSON.stringify({ passed, failures, emptyProjects }))
  }
}
