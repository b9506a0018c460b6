// Shows the values of each curve under the pointer.
for (const chart of document.querySelectorAll('.chart')) {
  const told = JSON.parse(chart.dataset.readout)
  const plot = chart.querySelector('.plot'), out = chart.querySelector('.readout')
  const cursor = document.createElement('span')
  cursor.className = 'cursor'
  const near = (points, x) => {
    let low = 0, high = points.length - 1
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if (points[middle][0] <= x) low = middle; else high = middle
    }
    return Math.abs(points[low][0] - x) <= Math.abs(points[high][0] - x) ? points[low] : points[high]
  }
  const text = y => told.percent ? (100 * y).toFixed(1) + ' %' : String(Number(y.toPrecision(4)))
  plot.addEventListener('pointermove', event => {
    const box = plot.getBoundingClientRect()
    const part = Math.min(1, Math.max(0, (event.clientX - box.left) / box.width))
    const x = told.left + part * (told.right - told.left)
    cursor.style.left = 100 * part + '%'
    plot.append(cursor)
    out.textContent = told.x + ' ' + Math.round(x).toLocaleString('en') + ': ' +
      told.series.map(s => s.name + ' ' + text(near(s.points, x)[1])).join(', ')
  })
  plot.addEventListener('pointerleave', () => { cursor.remove(); out.textContent = '' })
}
