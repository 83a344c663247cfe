"""The words of docs/solvers.md around its tables."""

HEAD = """\
# Solvers: error against network calls

Written by `python -m benchmarks.solvers --run RUN --torch-python PYTHON` from `benchmarks/results/solvers.json`; nothing here
is typed by hand. `python -m benchmarks.solvers --check` measures the errors afresh and fails where one is above 1.1 times the
stored one. With `--problems` only those are measured; what else the JSON holds stays.

![error against calls](images/solvers.png)

**What is measured.** The root mean square, over start noises and values, of the difference between what a sampler returns and
the exact solution of the probability-flow ODE from the same start noise. The denoisers of the first four problems are exact
(`benchmarks/solver_problems.py`), so there is no other error; float64; 1000 linear betas from 1e-4 to 0.02, the process of
`diffusers` by default.

**Own best grid.** Every solver is tried on each grid and end on start noise of its own, and the best choice is scored on
start noise that chose nothing (so a choice may turn out worse than its neighbour). In brackets: the grid (λ and t: uniform in
λ, in time; t²: quadratic; ρ: Karras; lead, lin, trail: trained steps) and λ of the last call.

**Two ends.** "D": the last call's D is the image, as everywhere in the field. That is a step of first order, from the last λ
to ∞. "a step": one more step of the method's own order leads from the last call to a λ that is not called (→), and the image
is x/α there: the same number of calls (`grid` of n + 1 values, `final="state"`)."""

FOOT = """\
## Reading the numbers

* Two-evaluation methods (EDM Heun, Heun) take 2n − 1 calls, so one call fewer at even numbers; `diffrax.Tsit5` takes six a
  step and needs at least eight.
* On a grid that ends early, the end is nearly all of the error, whatever the solver: compare "D of the exact state" with
  the trailing grid, and diffusers' schedulers with each other there.
* rms weighs the few start noises near a boundary between modes, which end elsewhere under any sampler of few calls; `rms_99`
  and `flipped` in the JSON separate them.
* On `images` one start noise of the 256 that ends in another image is an rms of 0.07 by itself: there the table counts flips,
  and neighbours in it differ by chance.
* A tuned sampler is learned for one denoiser; a problem of few numbers is learned far better than one of images.
* Diffusers' UniPC with `solver_type="bh1"` returns NaN with its default `final_sigmas_type="zero"`; it is run with
  `"sigma_min"`. `IPNDMScheduler` steps a process of its own and is left out."""
