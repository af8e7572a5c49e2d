/// <reference lib="es2024.string" />

/** Whether UTF-8 can hold this text: no half of a surrogate pair is in it. */
export function isWellFormed(text: string): boolean {
  return text.isWellFormed()
}
