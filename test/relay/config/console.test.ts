import { describe, expect, it } from 'vitest'
import { parseRelaySettings } from '../../../relay/config/settings.ts'

const ENV = { WAL_PREFIX: 'shop', MASTER_DATABASE_URL: 'postgres://relay@db/shop' }
const parse = (env: Record<string, string> = {}) => parseRelaySettings({ env: { ...ENV, ...env } })

function problems(env: Record<string, string>): readonly string[] {
  try {
    parse(env)
    return []
  } catch (error) {
    return (error as { problems: readonly string[] }).problems
  }
}

describe('the console', () => {
  it('is off unless it is turned on, and says when a setting of it has no effect', () => {
    expect(parse().console).toBeUndefined()
    const { console, warnings } = parse({ CONSOLE_PORT: '4000' })
    expect(console).toBeUndefined()
    expect(warnings).toEqual(['CONSOLE_PORT has no effect while CONSOLE_ENABLED is not true'])
  })

  it('listens on loopback, whatever HTTP_HOST says, without token and payloads', () => {
    const { console, warnings } = parse({ CONSOLE_ENABLED: 'true', HTTP_HOST: '0.0.0.0' })
    expect(console).toEqual({ host: '127.0.0.1', port: 3080, allowedHosts: [], token: undefined, payloads: false })
    expect(warnings).toEqual([])
  })

  it('warns where others can reach it', () => {
    const { warnings } = parse({ CONSOLE_ENABLED: 'true', CONSOLE_HOST: '0.0.0.0' })
    expect(warnings).toEqual([expect.stringMatching(/^CONSOLE_HOST is 0\.0\.0\.0: whoever reaches the console/)])
  })

  it('keeps its token among the secrets, and takes no short one', () => {
    const token = 'correct-horse-battery'
    const { secrets, effective, console } = parse({ CONSOLE_ENABLED: 'true', CONSOLE_TOKEN: token })
    expect(console?.token).toBe(token)
    expect(secrets).toContain(token)
    expect(JSON.stringify(effective)).not.toContain(token)
    for (const wrong of ['short', 'with spaces in between them', 'ümläute-ümläute-ümläute']) {
      const found = problems({ CONSOLE_ENABLED: 'true', CONSOLE_TOKEN: wrong })
      expect(found).toEqual([expect.stringMatching(/^CONSOLE_TOKEN must have 16 or more characters/)])
      expect(found.join()).not.toContain(wrong)
    }
  })

  it('needs a port of its own, and host names without ports', () => {
    expect(
      problems({ CONSOLE_ENABLED: 'true', CONSOLE_PORT: '3001', CONSOLE_ALLOWED_HOSTS: 'relay.internal,x:80' }),
    ).toEqual([
      'CONSOLE_PORT is the port of WAL_HEALTH_PORT: the console needs one of its own',
      'CONSOLE_ALLOWED_HOSTS: "x:80" is no host name (without a port)',
    ])
  })
})
