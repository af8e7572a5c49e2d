#!/usr/bin/env node
/**
 * The command `factlib-relay`. Exit codes: 0 done or stopped on request, 1 a command could not do it (cli-error.ts), 2 a
 * setting is wrong (nothing was touched), 70 a defect, 75 a port is taken; those of a relay that cannot go on are in policy.ts.
 */
import { CommanderError } from 'commander'
import { isFactlibError } from '../../src/errors.ts'
import { EXIT } from '../policy.ts'
import { CliError } from './cli-error.ts'
import { createProgram } from './program.ts'

// `factlib-relay --help | head` closes the pipe early, which is no defect. (The relay's log does not go through here.)
process.stdout.on('error', (error: NodeJS.ErrnoException) =>
  process.exit(error.code === 'EPIPE' ? EXIT.stopped : EXIT.internal),
)

try {
  await createProgram().parseAsync()
} catch (error) {
  if (error instanceof CommanderError) {
    // commander has written its message, or the help that was asked for.
    process.exitCode = error.exitCode === 0 ? EXIT.stopped : EXIT.badConfiguration
  } else if (error instanceof CliError) {
    process.stderr.write(`factlib-relay: ${error.message}\n`)
    process.exitCode = error.exitCode
  } else if (isFactlibError(error, 'FACTLIB_BAD_CONFIGURATION')) {
    process.stderr.write(`factlib-relay: ${error.message}\nfactlib-relay --help lists every setting.\n`)
    process.exitCode = EXIT.badConfiguration
  } else {
    const { name, message } = error instanceof Error ? error : { name: 'Error', message: String(error) }
    process.stderr.write(`factlib-relay: a defect: ${name}: ${message}\n`)
    process.exitCode = EXIT.internal
  }
}
