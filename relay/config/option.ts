/** How an option's value is written and checked (values.ts). */
export type OptionKind =
  | { readonly type: 'text' }
  /** Commas in text form, an array in a config file. */
  | { readonly type: 'list' }
  | { readonly type: 'integer'; readonly min: number; readonly max: number }
  | { readonly type: 'boolean' }
  /** Case does not matter; `aliases` are other spellings of a choice. */
  | {
      readonly type: 'choice'
      readonly choices: readonly string[]
      readonly aliases?: Readonly<Record<string, string>>
    }

export interface RelayOption {
  readonly key: string
  readonly env: readonly string[]
  /** Absent: no flag, because a process list would show the secret. */
  readonly flag?: string
  readonly kind: OptionKind
  /** As a user would write it; absent: see `required` and `docs`. */
  readonly default?: string
  readonly required?: true
  /** Never shown: masked in every output. */
  readonly secret?: true
  /** `process`: of the `factlib-relay` process only, not of `createRelay`. */
  readonly scope: 'relay' | 'process'
  readonly group: 'What to relay' | 'PostgreSQL' | 'Kafka' | 'Limits' | 'Operation' | 'Console'
  readonly docs: string
  readonly whenToChange: string
}
