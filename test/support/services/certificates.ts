// X.509 certificates for TLS in tests, without openssl or keytool: DER (ITU X.690) by hand, ECDSA P-256 with SHA-256 (RFC 5280, RFC 5758).
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'

export interface Certificate {
  /** PEM. */
  readonly cert: string
  /** PEM, PKCS #8. */
  readonly key: string
  readonly commonName: string
  readonly privateKey: KeyObject
}

export interface CertificateOptions {
  readonly commonName: string
  /** Who signs. Default: itself, as an authority. */
  readonly issuer?: Certificate
}

const ECDSA_SHA256 = sequence(oid('2a8648ce3d040302'))
const HOSTS = sequence(tlv(0x87, Buffer.from([127, 0, 0, 1])), tlv(0x82, Buffer.from('localhost')))

/**
 * A certificate for 127.0.0.1 and localhost, valid from yesterday for 30 days, as an authority or signed by one.
 *
 * @example
 * const authority = createCertificate({ commonName: 'factlib test authority' })
 * const server = createCertificate({ commonName: 'localhost', issuer: authority })
 */
export function createCertificate({ commonName, issuer }: CertificateOptions): Certificate {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const extensions = issuer
    ? [extension('551d11', HOSTS)] // subjectAltName
    : [extension('551d13', sequence(tlv(0x01, Buffer.from([0xff]))), true)] // basicConstraints: CA
  const toBeSigned = sequence(
    tlv(0xa0, tlv(0x02, Buffer.from([2]))), // version 3
    tlv(0x02, Buffer.concat([Buffer.from([1]), randomBytes(15)])), // serial number
    ECDSA_SHA256,
    name(issuer?.commonName ?? commonName),
    sequence(time(Date.now() - 86_400_000), time(Date.now() + 30 * 86_400_000)),
    name(commonName),
    publicKey.export({ type: 'spki', format: 'der' }),
    tlv(0xa3, sequence(...extensions)),
  )
  const signature = sign('sha256', toBeSigned, issuer?.privateKey ?? privateKey)
  const der = sequence(toBeSigned, ECDSA_SHA256, tlv(0x03, Buffer.concat([Buffer.from([0]), signature])))
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  const cert = `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
  return { cert, key: String(privateKey.export({ type: 'pkcs8', format: 'pem' })), commonName, privateKey }
}

function name(commonName: string): Buffer {
  return sequence(tlv(0x31, sequence(oid('550403'), tlv(0x0c, Buffer.from(commonName)))))
}

function extension(id: string, value: Buffer, critical = false): Buffer {
  return sequence(oid(id), ...(critical ? [tlv(0x01, Buffer.from([0xff]))] : []), tlv(0x04, value))
}

/** UTCTime, `YYMMDDHHMMSSZ`. */
function time(millis: number): Buffer {
  const text = new Date(millis).toISOString().replace(/\D/g, '').slice(2, 14)
  return tlv(0x17, Buffer.from(`${text}Z`))
}

function oid(hex: string): Buffer {
  return tlv(0x06, Buffer.from(hex, 'hex'))
}

function sequence(...parts: Buffer[]): Buffer {
  return tlv(0x30, Buffer.concat(parts))
}

function tlv(tag: number, value: Buffer): Buffer {
  const { length } = value
  if (length < 0x80) return Buffer.concat([Buffer.from([tag, length]), value])
  if (length < 0x100) return Buffer.concat([Buffer.from([tag, 0x81, length]), value])
  return Buffer.concat([Buffer.from([tag, 0x82, length >> 8, length & 0xff]), value])
}
