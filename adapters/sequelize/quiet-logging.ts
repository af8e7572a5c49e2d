/** A logging function of Sequelize: the message, then the milliseconds with `benchmark`, then the query's options. */
type Logging = (...args: unknown[]) => unknown

/**
 * The user's logging for our statement, without its parameters, which are the payload: Sequelize appends them to the
 * message with `logQueryParameters`, and always hands them over among the options.
 */
export function quietLogging(sequelize: object, text: string): Logging | false {
  const { options } = sequelize as { readonly options?: { readonly logging?: unknown } }
  // Its own default is console.log, which it also makes of `true`.
  const log = options !== undefined && Object.hasOwn(options, 'logging') ? options.logging : console.log
  if (typeof log !== 'function') return false
  return (message, ...rest) => {
    const shown = withoutParameters(String(message), text)
    if (log !== console.log) return log(shown, ...rest.map(withoutBind))
    const [elapsedMs] = rest
    return log(typeof elapsedMs === 'number' ? `${shown} Elapsed time: ${elapsedMs}ms` : shown)
  }
}

function withoutParameters(message: string, text: string): string {
  const start = message.indexOf(text)
  return start === -1 ? 'Executing the statement of an emitted fact' : message.slice(0, start + text.length)
}

function withoutBind(argument: unknown): unknown {
  return typeof argument === 'object' && argument !== null ? { ...argument, bind: undefined } : argument
}
