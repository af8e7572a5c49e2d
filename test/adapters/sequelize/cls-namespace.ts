import { AsyncLocalStorage } from 'node:async_hooks'

/** What `Sequelize.useCLS` needs, on Node's own AsyncLocalStorage: cls-hooked is old, and not needed. */
export interface ClsNamespace {
  get(key: string): unknown
  set(key: string, value: unknown): void
  run<Result>(body: () => Result): Result
  bind<Body>(body: Body): Body
}

export function createClsNamespace(): ClsNamespace {
  const storage = new AsyncLocalStorage<Map<string, unknown>>()
  return {
    get: (key) => storage.getStore()?.get(key),
    set: (key, value) => void storage.getStore()?.set(key, value),
    // Each run has a copy, so that a transaction is not seen by what runs beside it.
    run: (body) => storage.run(new Map(storage.getStore()), body),
    bind: (body) => body,
  }
}
