import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { formatLsn, parseLsn, toLsn } from '../../relay/lsn.ts'

describe('LSN text', () => {
  it('is two hexadecimal halves, not padded', () => {
    expect(parseLsn('0/A08B0D8')).toBe(168_341_720n)
    expect(parseLsn('16/B374D848')).toBe(0x16_b374_d848n)
    expect(formatLsn(toLsn(0x1_0000_000fn))).toBe('1/F')
    expect(formatLsn(toLsn(0xffff_ffff_ffff_ffffn))).toBe('FFFFFFFF/FFFFFFFF')
    expect(formatLsn(toLsn(0n))).toBe('0/0')
  })

  it('orders across the boundary of 4 GiB, where text does not', () => {
    expect('0/FFFFFFFF' > '1/0').toBe(false)
    expect('9/0' > '10/0').toBe(true)
    expect(parseLsn('0/FFFFFFFF')).toBeLessThan(parseLsn('1/0'))
    expect(parseLsn('9/0')).toBeLessThan(parseLsn('10/0'))
    expect(parseLsn('0/F')).toBeLessThan(parseLsn('0/10'))
  })

  it('comes back from its text, all 64 bits', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn }), (value) => {
        expect(parseLsn(formatLsn(toLsn(value)))).toBe(value)
      }),
    )
  })

  it.each(['', '/', '0', '0/', '/0', '0/123456789', '0x1/2', '0/G', '-1/0', '0/0 ', '0/0/0', ' 0/0'])(
    'refuses "%s"',
    (text) => {
      expect(() => parseLsn(text)).toThrow(RangeError)
    },
  )
})
