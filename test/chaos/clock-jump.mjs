// Loaded into a relay before anything else: SIGUSR2 moves its wall clock by an hour, forth and back in turns.
let offsetMs = 0
const RealDate = Date
globalThis.Date = class extends RealDate {
  constructor(...args) {
    if (args.length === 0) super(RealDate.now() + offsetMs)
    else super(...args)
  }
  static now() {
    return RealDate.now() + offsetMs
  }
}
process.on('SIGUSR2', () => {
  offsetMs = offsetMs > 0 ? -3_600_000 : 3_600_000
})
