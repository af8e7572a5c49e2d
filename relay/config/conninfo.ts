/**
 * The two ways in which libpq writes a connection, as its parameters by name.
 *
 *   URI            postgres://user:password@host:port,host:port/dbname?keyword=value&keyword=value
 *   keyword/value  host=db port=5432 dbname='two words' password=it\'s
 *
 * Only the grammar (libpq's conninfo_uri_parse_options and conninfo_parse); what the parameters mean is in
 * database-url.ts. No error quotes the text: a password with an unescaped character may be anywhere in it.
 */
import { ConfigurationError } from '../../src/errors.ts'

/** Parameters in the order in which they were written; a later one replaces an earlier one of the same name. */
export interface ConnectionParameters {
  readonly form: 'uri' | 'keyword/value'
  readonly values: ReadonlyMap<string, string>
  /** False where a name may be a piece of a badly escaped password: then it must not be shown. */
  readonly namesAreSafe: boolean
}

const BLANK = /[ \t\n\v\f\r]/
const ESCAPE_HINT =
  'in a URL, write the characters @ : / ? # [ ] % , & and spaces of a user or password percent-encoded (@ is %40)'

/**
 * Reads either form that libpq accepts.
 *
 * @example
 * ```ts
 * parseConnectionParameters('postgres://app@db:5433/shop?sslmode=require').values.get('port') // '5433'
 * ```
 * @throws ConfigurationError when the text has neither form.
 */
export function parseConnectionParameters(text: string): ConnectionParameters {
  const scheme = /^postgres(?:ql)?:\/\//.exec(text)?.[0]
  if (scheme !== undefined) return parseUri(text.slice(scheme.length))
  const otherScheme = /^([a-z][a-z0-9+.-]*):/i.exec(text)?.[1]
  if (otherScheme !== undefined) {
    const name = otherScheme.toLowerCase()
    if (name === 'postgres' || name === 'postgresql')
      throw bad('the scheme is written "postgres://", in lower case and with two slashes')
    if (name === 'prisma' || name === 'prisma+postgres') {
      throw bad(
        'this is the URL of a Prisma proxy, and replication needs a direct one: give the postgres:// URL of the database',
      )
    }
    throw bad('this is not a PostgreSQL URL: it must begin with postgres:// or postgresql://')
  }
  if (!text.includes('='))
    throw bad('this is neither a URL (postgres://user@host:5432/dbname) nor keywords (host=… dbname=…)')
  return parseKeywords(text)
}

function parseUri(text: string): ConnectionParameters {
  const values = new Map<string, string>()
  let rest = text
  // Credentials: up to the first @, if no slash comes before it.
  const at = /^[^@/]*@/.exec(rest)?.[0]
  if (at !== undefined) {
    const credentials = at.slice(0, -1)
    const colon = credentials.indexOf(':')
    const user = colon < 0 ? credentials : credentials.slice(0, colon)
    const password = colon < 0 ? '' : credentials.slice(colon + 1)
    if (user !== '') values.set('user', percentDecode(user, 'the user'))
    if (password !== '') values.set('password', percentDecode(password, 'the password'))
    rest = rest.slice(at.length)
  }
  const hosts: string[] = []
  const ports: string[] = []
  for (;;) {
    const { host, port, length } = readHost(rest)
    hosts.push(host)
    ports.push(port)
    rest = rest.slice(length)
    if (!rest.startsWith(',')) break
    rest = rest.slice(1)
  }
  const namesAreSafe = !rest.includes('@')
  const question = rest.indexOf('?')
  const path = question < 0 ? rest : rest.slice(0, question)
  if (hosts.join(',') !== '') values.set('host', percentDecode(hosts.join(','), 'the host'))
  if (ports.join('') !== '') values.set('port', percentDecode(ports.join(','), 'the port'))
  if (path.length > 1) values.set('dbname', percentDecode(path.slice(1), 'the database name'))
  if (question >= 0) readQuery(rest.slice(question + 1), values)
  return { form: 'uri', values, namesAreSafe }
}

function readHost(text: string): { host: string; port: string; length: number } {
  let host: string
  let length: number
  if (text.startsWith('[')) {
    const end = text.indexOf(']')
    if (end < 0) throw bad('a host begins with "[" and no "]" ends it')
    host = text.slice(1, end)
    if (host === '') throw bad('the IPv6 address between "[" and "]" is empty')
    length = end + 1
    if (length < text.length && !':/?,'.includes(text[length]!)) {
      throw bad('after the "]" of an IPv6 address only ":", "/", "?" or "," may come')
    }
  } else {
    host = /^[^:/?,]*/.exec(text)![0]
    length = host.length
  }
  if (text[length] !== ':') return { host, port: '', length }
  const port = /^[^/?,]*/.exec(text.slice(length + 1))![0]
  return { host, port, length: length + 1 + port.length }
}

function readQuery(query: string, values: Map<string, string>): void {
  if (query === '') return
  for (const pair of query.replace(/&$/, '').split('&')) {
    const parts = pair.split('=')
    if (parts.length !== 2) throw bad(`each parameter after "?" is written name=value, with one "="; ${ESCAPE_HINT}`)
    const name = percentDecode(parts[0]!, 'the name of a parameter')
    const value = percentDecode(parts[1]!, 'the value of a parameter')
    // What JDBC writes; libpq takes it too.
    if (name === 'ssl' && value === 'true') values.set('sslmode', 'require')
    else values.set(name, value)
  }
}

function percentDecode(text: string, what: string): string {
  if (/%(?![0-9a-f]{2})/i.test(text))
    throw bad(`${what} has a "%" without two hexadecimal digits after it (a percent sign itself is %25)`)
  if (/%00/.test(text)) throw bad(`${what} has %00 in it, which PostgreSQL does not allow`)
  try {
    return decodeURIComponent(text)
  } catch {
    throw bad(`${what} is not UTF-8 after percent-decoding`)
  }
}

function parseKeywords(text: string): ConnectionParameters {
  const values = new Map<string, string>()
  let at = 0
  const skipBlanks = () => {
    while (at < text.length && BLANK.test(text[at]!)) at++
  }
  for (skipBlanks(); at < text.length; skipBlanks()) {
    const name = /^[^ \t\n\v\f\r=]*/.exec(text.slice(at))![0]
    at += name.length
    skipBlanks()
    if (text[at] !== '=') {
      throw bad(
        `word ${values.size + 1} has no "=" after it: write keyword=value, and a value with spaces in single quotes`,
      )
    }
    at++
    skipBlanks()
    let value = ''
    if (text[at] === "'") {
      at++
      for (; text[at] !== "'"; at++) {
        if (text[at] === '\\') at++
        if (at >= text.length) throw bad('a value begins with a single quote and no single quote ends it')
        value += text[at]
      }
      at++
    } else {
      for (; at < text.length && !BLANK.test(text[at]!); at++) {
        if (text[at] === '\\') at++
        value += text[at] ?? ''
      }
    }
    values.set(name, value)
  }
  // After an unquoted password with a space, a "name" may be its second half.
  return { form: 'keyword/value', values, namesAreSafe: !values.has('password') }
}

function bad(problem: string): ConfigurationError {
  return new ConfigurationError([problem])
}
