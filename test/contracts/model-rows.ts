/** The rows of the `models` table of docs/transaction-safety.md: every column has an outcome for each. */
export const MODEL_ROWS = [
  'create one',
  'create many',
  'update one',
  'update many',
  'increment and decrement',
  'upsert: created told from updated',
  'upserts of one row at the same moment',
  'delete one',
  'delete many',
  'delete many while others write',
  'soft delete',
  'restore',
  'columns hidden from the caller',
  "in the caller's transaction",
  'in an array transaction',
  'rolled back',
  'a mapper that throws, swallowed by the caller',
  'a write that nobody awaits',
  'nested writes through relations',
  'links of many-to-many without a model',
  'hooks switched off for one call',
  'something else moves the write out of its transaction',
  'raw SQL',
  'cascades in the database',
] as const

export type ModelRow = (typeof MODEL_ROWS)[number]
