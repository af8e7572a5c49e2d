import { X509Certificate } from 'node:crypto'
import { expect, test } from 'vitest'
import { createCertificate } from './certificates.ts'

test('a certificate is signed by its authority and names the loopback addresses', () => {
  const authority = createCertificate({ commonName: 'authority' })
  const stranger = new X509Certificate(createCertificate({ commonName: 'authority' }).cert)
  const server = new X509Certificate(createCertificate({ commonName: 'server', issuer: authority }).cert)
  const ca = new X509Certificate(authority.cert)
  expect(ca.ca).toBe(true)
  expect(server.checkIssued(ca) && server.verify(ca.publicKey)).toBe(true)
  expect(server.verify(stranger.publicKey)).toBe(false)
  expect([server.checkIP('127.0.0.1'), server.checkHost('localhost'), server.checkHost('example.org')]).toEqual([
    '127.0.0.1',
    'localhost',
    undefined,
  ])
  expect(Date.parse(server.validTo)).toBeGreaterThan(Date.now())
})
