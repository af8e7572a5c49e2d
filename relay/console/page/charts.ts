import uPlot from 'uplot'
import type { Sample } from '../state.ts'
import { formatBytes, formatRate, formatSeconds } from './format.ts'

// Two charts of the last quarter of an hour. Colours come from the style sheet, so that a theme is there only.

const HEIGHT = 190
const SAMPLES_KEPT = 900
/** So that the axis has round numbers of KiB and MiB. */
const BYTE_STEPS = Array.from({ length: 40 }, (_, index) => 2 ** index)
/** The charts begin with so much of the time axis, seconds. */
const SPAN_SECONDS = 60

export interface Charts {
  /** All that is known; from now on `add` goes on. */
  reset(samples: readonly Sample[]): void
  add(sample: Sample): void
  /** Colours or sizes have changed. */
  redraw(): void
}

interface Line {
  readonly colour: string
  readonly of: (sample: Sample) => number | null
  readonly isFilled?: boolean
}

/** Draws into these two elements, and says in words what they show. */
export function createCharts(throughput: HTMLElement, lag: HTMLElement): Charts {
  let samples: Sample[] = []
  const charts = [
    createChart(throughput, formatRate, 5, [
      { colour: '--series-b', of: (sample) => sample.received },
      { colour: '--series-a', of: (sample) => sample.delivered, isFilled: true },
    ]),
    createChart(
      lag,
      formatBytes,
      65_536,
      [{ colour: '--series-c', of: (sample) => sample.lagBytes, isFilled: true }],
      BYTE_STEPS,
    ),
  ]

  function update(): void {
    for (const chart of charts) chart.set(samples)
    const last = samples.at(-1)
    const span = formatSeconds(samples.length)
    const highest = Math.max(0, ...samples.map(({ delivered }) => delivered))
    throughput.setAttribute(
      'aria-label',
      `Throughput of the last ${span}: now ${formatRate(last?.delivered ?? 0)} facts a second, at most ${formatRate(highest)}`,
    )
    const most = Math.max(0, ...samples.map(({ lagBytes }) => lagBytes ?? 0))
    const now = last?.lagBytes === null || last === undefined ? 'not known' : formatBytes(last.lagBytes)
    lag.setAttribute(
      'aria-label',
      `Lag of the last ${span}: now ${now} of WAL not confirmed, at most ${formatBytes(most)}`,
    )
  }

  return {
    reset(given) {
      samples = [...given]
      update()
    },
    add(sample) {
      samples.push(sample)
      if (samples.length > SAMPLES_KEPT) samples.shift()
      update()
    },
    redraw() {
      for (const chart of charts) chart.build()
      update()
    },
  }
}

function createChart(
  element: HTMLElement,
  format: (value: number) => string,
  least: number,
  lines: readonly Line[],
  steps?: number[],
) {
  let plot: uPlot | undefined
  let shown: readonly Sample[] = []

  function build(): void {
    plot?.destroy()
    const style = getComputedStyle(document.documentElement)
    const colour = (name: string) => style.getPropertyValue(name).trim()
    const axis: uPlot.Axis = {
      stroke: colour('--muted'),
      font: '12px system-ui, sans-serif',
      grid: { stroke: colour('--grid'), width: 1 },
      ticks: { show: false },
    }
    plot = new uPlot(
      {
        width: Math.max(200, element.clientWidth),
        height: HEIGHT,
        legend: { show: false },
        cursor: { show: false },
        // To the right there is room for half of the last moment's name.
        padding: [8, 28, 0, 0],
        scales: {
          x: { time: true, range: (_, from, to) => [Math.min(from, to - SPAN_SECONDS), to] },
          y: { range: (_, __, most) => [0, Math.max(least, (most ?? 0) * 1.15)] },
        },
        axes: [
          {
            ...axis,
            size: 28,
            space: 70,
            values: (_, at) => at.map((second) => new Date(second * 1_000).toLocaleTimeString('en-GB')),
          },
          {
            ...axis,
            size: 68,
            space: 36,
            ...(steps ? { incrs: steps } : {}),
            values: (_, at) => at.map((value) => (value === 0 ? '0' : format(value))),
          },
        ],
        series: [
          {},
          ...lines.map(
            (line): uPlot.Series => ({
              stroke: colour(line.colour),
              width: 2,
              points: { show: false },
              ...(line.isFilled ? { fill: colour(`${line.colour}-fill`) } : {}),
            }),
          ),
        ],
      },
      data(),
      element,
    )
  }

  function data(): uPlot.AlignedData {
    return [shown.map(({ atMs }) => atMs / 1_000), ...lines.map((line) => shown.map(line.of))] as uPlot.AlignedData
  }

  build()
  let width = element.clientWidth
  new ResizeObserver(() => {
    if (element.clientWidth === width) return
    width = element.clientWidth
    plot?.setSize({ width: Math.max(200, width), height: HEIGHT })
  }).observe(element)

  return {
    build,
    set(samples: readonly Sample[]) {
      shown = samples
      plot?.setData(data())
    },
  }
}
