import { setText } from './dom.ts'

type Theme = 'light' | 'dark'

const KEY = 'factlib-console-theme'

/** As the system has it, until somebody presses the button; that is remembered in this browser. */
export function startTheme(button: HTMLElement, onChange: () => void): void {
  const system = window.matchMedia('(prefers-color-scheme: dark)')
  let chosen = read()

  function apply(): void {
    const theme = chosen ?? (system.matches ? 'dark' : 'light')
    document.documentElement.dataset['theme'] = theme
    setText(button, theme === 'dark' ? 'Light' : 'Dark')
    button.setAttribute('aria-label', theme === 'dark' ? 'Use the light theme' : 'Use the dark theme')
    onChange()
  }

  button.addEventListener('click', () => {
    chosen = document.documentElement.dataset['theme'] === 'dark' ? 'light' : 'dark'
    write(chosen)
    apply()
  })
  system.addEventListener('change', apply)
  apply()
}

function read(): Theme | undefined {
  try {
    const value = localStorage.getItem(KEY)
    return value === 'light' || value === 'dark' ? value : undefined
  } catch {
    return undefined
  }
}

function write(theme: Theme): void {
  try {
    localStorage.setItem(KEY, theme)
  } catch {
    // A browser that keeps nothing: the system's theme next time.
  }
}
