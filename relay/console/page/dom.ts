// Little ways to the document. Texts are set as texts, never as markup: what is shown comes from data.

export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const element = document.getElementById(id)
  if (!element) throw new Error(`there is no element "${id}"`)
  return element as T
}

/** Writes only what has changed, so that nothing is read out or painted again without need. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text
}

export function show(element: HTMLElement, isShown: boolean): void {
  if (element.hidden === isShown) element.hidden = !isShown
}

/** @example create('span', { class: 'tag', text: 'lost' }) */
export function create<K extends keyof HTMLElementTagNameMap>(
  name: K,
  given: { readonly class?: string; readonly text?: string; readonly title?: string } = {},
  ...children: readonly Node[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(name)
  if (given.class !== undefined) element.className = given.class
  if (given.text !== undefined) element.textContent = given.text
  if (given.title !== undefined) element.title = given.title
  element.append(...children)
  return element
}

/**
 * Brings the children of `parent` in line with `items`. An element stays with its key, so focus and selection stay where
 * they are while the data moves on.
 */
export function sync<T, E extends HTMLElement>(
  parent: HTMLElement,
  items: readonly T[],
  options: {
    readonly key: (item: T) => string
    readonly create: (item: T) => E
    readonly update: (element: E, item: T) => void
  },
): void {
  const old = new Map([...parent.children].map((child) => [(child as HTMLElement).dataset['key'] ?? '', child as E]))
  let place: Element | null = parent.firstElementChild
  for (const item of items) {
    const key = options.key(item)
    let element = old.get(key)
    old.delete(key)
    if (!element) {
      element = options.create(item)
      element.dataset['key'] = key
    }
    options.update(element, item)
    if (element === place) place = place.nextElementSibling
    else parent.insertBefore(element, place)
  }
  for (const left of old.values()) left.remove()
}

/** A row of cells under these headings; `units` stand behind the values where there is no room for headings. */
export function row(
  labels: readonly string[],
  classes: readonly string[] = [],
  units: Readonly<Record<string, string>> = {},
): HTMLTableRowElement {
  const element = create('tr')
  for (const [index, label] of labels.entries()) {
    const cell = create('td', { class: classes[index] ?? '' })
    cell.dataset['label'] = label
    const unit = units[label]
    if (unit !== undefined) cell.dataset['unit'] = unit
    element.append(cell)
  }
  return element
}

export function setCell(element: HTMLTableRowElement, index: number, text: string, title?: string): void {
  const cell = element.cells[index] as HTMLTableCellElement
  setText(cell, text)
  if (title !== undefined && cell.title !== title) cell.title = title
}
