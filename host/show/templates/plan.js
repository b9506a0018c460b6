// The arena to walk through: zoom, names in the boxes, a box under the pointer, a layer's boxes.
const WIDTH_OF_A_LETTER = 6.1, LEAST_COLUMN = 13, MOST_TICKS = 8

for (const plan of document.querySelectorAll('.plan')) {
  const arena = plan.querySelector('.arena'), svg = arena.querySelector('svg')
  const strip = arena.querySelector('.strip'), told = plan.querySelector('.told')
  const labels = arena.querySelector('.labels'), ticks = arena.querySelector('.ticks')
  const data = JSON.parse(arena.dataset.plan)
  const boxes = [...svg.querySelectorAll('rect.box')].map(rect => {
    const [x, y, w, h] = ['x', 'y', 'width', 'height'].map(name => Number(rect.getAttribute(name)))
    return {rect, x, y, w, h}
  })
  const whole = {x: -1, y: 0, w: data.width, h: data.top}
  let view = {...whole}, at = -1

  const put = (parent, text, style, kind) => {
    const span = document.createElement('span')
    span.textContent = text
    if (kind) span.className = kind
    for (const [name, value] of Object.entries(style)) span.style[name] = value
    parent.append(span)
  }
  const step = (span, most) => {
    const rough = span / most, power = 2 ** Math.ceil(Math.log2(Math.max(1, rough)))
    return Math.max(1, power)
  }
  const draw = () => {
    svg.setAttribute('viewBox', `${view.x} ${view.y} ${view.w} ${view.h}`)
    strip.setAttribute('viewBox', `${view.x} 0 ${view.w} 1`)
    const wide = arena.clientWidth, high = arena.clientHeight
    const left = x => 100 * (x - view.x) / view.w, top = y => 100 * (y - view.y) / view.h
    labels.replaceChildren()
    ticks.replaceChildren()
    boxes.forEach((box, k) => {
      const from = Math.max(box.x, view.x), to = Math.min(box.x + box.w, view.x + view.w)
      const above = Math.max(box.y, view.y), below = Math.min(box.y + box.h, view.y + view.h)
      if (to <= from || below <= above) return
      const w = wide * (to - from) / view.w, h = high * (below - above) / view.h
      const long = WIDTH_OF_A_LETTER * data.names[k].length + 6
      const upright = w < long && h >= long && w > 11
      if (!upright && (w < long || h < 12)) return
      put(labels, data.names[k], {
        left: left((from + to) / 2) + '%', top: top((above + below) / 2) + '%',
        ...(upright ? {transform: 'translate(-50%, -50%) rotate(-90deg)'} : {}),
      })
    })
    const every = step(view.h, MOST_TICKS)
    for (let b = 0; b <= data.top; b += every) {
      const place = top(data.top - b)
      if (place >= -1 && place <= 101) put(ticks, b.toLocaleString('en'), {top: place + '%'}, 'y')
    }
    const skip = Math.max(1, Math.ceil(LEAST_COLUMN / (wide / view.w)))
    data.columns.forEach((name, k) => {
      const place = left(k + 0.5)
      if (k % skip === 0 && place >= 0 && place <= 100) put(ticks, name, {left: place + '%'}, 'x')
    })
  }
  const bounded = v => {
    const w = Math.min(whole.w, Math.max(2, v.w)), h = Math.min(whole.h, Math.max(8, v.h))
    return {
      w, h,
      x: Math.min(whole.x + whole.w - w, Math.max(whole.x, v.x)),
      y: Math.min(whole.y + whole.h - h, Math.max(whole.y, v.y)),
    }
  }
  const zoom = (factor, px = 0.5, py = 0.5) => {
    const w = view.w * factor, h = view.h * factor
    view = bounded({w, h, x: view.x + px * (view.w - w), y: view.y + py * (view.h - h)})
    draw()
  }
  const all = () => { view = {...whole}; draw() }
  const show = k => {
    boxes[at]?.rect.classList.remove('at')
    at = k
    boxes[at].rect.classList.add('at')
    told.textContent = data.told[at]
  }
  const walk = (dx, dy) => {
    if (at < 0) return show(0)
    const middle = b => [b.x + b.w / 2, b.y + b.h / 2]
    const [x, y] = middle(boxes[at])
    let best = -1, least = Infinity
    boxes.forEach((box, k) => {
      const [bx, by] = middle(box), along = dx * (bx - x) / whole.w + dy * (by - y) / whole.h
      if (k === at || along <= 0) return
      const across = Math.abs(dy * (bx - x) / whole.w) + Math.abs(dx * (by - y) / whole.h)
      if (along + 2 * across < least) { least = along + 2 * across; best = k }
    })
    if (best >= 0) show(best)
  }

  svg.addEventListener('pointerover', event => {
    const k = boxes.findIndex(box => box.rect === event.target)
    if (k >= 0) show(k)
  })
  const walks = {
    ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1],
  }
  arena.addEventListener('keydown', event => {
    if (event.ctrlKey || event.metaKey || event.altKey) return
    if (event.key in walks) walk(...walks[event.key])
    else if (event.key === '+' || event.key === '=') zoom(0.7)
    else if (event.key === '-') zoom(1 / 0.7)
    else if (event.key === '0') all()
    else return
    event.preventDefault()
  })
  arena.addEventListener('wheel', event => {
    if (!event.ctrlKey && !event.metaKey) return
    event.preventDefault()
    const box = arena.getBoundingClientRect()
    zoom(event.deltaY < 0 ? 0.85 : 1 / 0.85, (event.clientX - box.left) / box.width,
      (event.clientY - box.top) / box.height)
  }, {passive: false})
  let held = null
  svg.addEventListener('pointerdown', event => {
    held = {x: event.clientX, y: event.clientY, view}
  })
  addEventListener('pointerup', () => { held = null })
  svg.addEventListener('pointermove', event => {
    if (!held || !event.buttons) return
    view = bounded({
      ...held.view,
      x: held.view.x - (event.clientX - held.x) / arena.clientWidth * view.w,
      y: held.view.y - (event.clientY - held.y) / arena.clientHeight * view.h,
    })
    draw()
  })
  const does = {in: () => zoom(0.7), out: () => zoom(1 / 0.7), all}
  for (const button of plan.querySelectorAll('button')) {
    button.addEventListener('click', does[button.dataset.do])
  }
  new ResizeObserver(draw).observe(arena)

  const table = document.querySelector(`table[data-plan=${plan.id}]`)
  const rows = [...table.querySelectorAll('tr.layer')]
  const pick = row => {
    const was = row.getAttribute('aria-selected') === 'true'
    for (const other of rows) other.setAttribute('aria-selected', String(other === row && !was))
    const chosen = new Set(was ? [] : row.dataset.boxes.split(' ').filter(Boolean).map(Number))
    boxes.forEach((box, k) => box.rect.classList.toggle('in', chosen.has(k)))
    arena.classList.toggle('picked', !was)
    if (was) return
    const cells = [...row.children].map(cell => cell.textContent)
    const heads = [...table.querySelectorAll('thead th')].map(head => head.textContent)
    told.textContent = cells[0] + ': ' +
      heads.slice(1).map((head, k) => head + ' ' + cells[k + 1]).join(', ')
    plan.scrollIntoView({block: 'nearest'})
  }
  for (const row of rows) {
    row.addEventListener('click', () => pick(row))
    row.addEventListener('keydown', event => {
      const other = {ArrowDown: row.nextElementSibling, ArrowUp: row.previousElementSibling}[event.key]
      if (event.key === 'Enter' || event.key === ' ') pick(row)
      else if (other) other.focus()
      else return
      event.preventDefault()
    })
  }
}
