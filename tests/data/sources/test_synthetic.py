import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxdiff.data.sources.phenotypes import PHENOTYPES, draw_nucleus, light, reach_um
from jaxdiff.data.sources.synthetic import Microscope, blur, psf_sigmas_um, record

SIZE = (24, 32)
# tiny programs compile much longer than they run
quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@pytest.fixture(scope="module")
def fields():
    return jax.tree.map(np.asarray, Microscope().fields(jax.random.key(0), 96, SIZE, chunk=32))


def test_types_and_shapes(fields):
    image, clean, mask, classes, label = fields
    assert (image.dtype, clean.dtype, mask.dtype) == (np.uint16, np.float32, np.int32)
    assert image.shape == clean.shape == (96, *SIZE, 1)
    assert mask.shape == (96, *SIZE)
    assert classes.shape[0] == label.shape[0] == 96
    assert np.isfinite(clean).all()
    assert clean.min() >= 100 + 2 * 15 - 1e-3  # offset and background


def test_a_field_depends_on_its_key_alone(fields):
    scope = Microscope()
    again = scope.fields(jax.random.key(0), 5, SIZE)
    np.testing.assert_array_equal(again.mask, fields.mask[:5])
    np.testing.assert_allclose(again.clean, fields.clean[:5], rtol=1e-5)
    np.testing.assert_array_equal(scope.fields(jax.random.key(0), 5, SIZE).image, again.image)
    single = scope.field(jax.random.fold_in(jax.random.key(0), 7), SIZE)
    np.testing.assert_array_equal(single.mask, fields.mask[7])
    np.testing.assert_allclose(single.clean, fields.clean[7], rtol=1e-5)
    assert not np.array_equal(fields.image[0], fields.image[1])


def test_mask_numbers_and_classes_agree(fields):
    for mask, classes in zip(fields.mask, fields.classes):
        count = mask.max()
        np.testing.assert_array_equal(np.unique(mask[mask > 0]), np.arange(1, count + 1))
        assert (classes[:count] >= 0).all()
        assert (classes[:count] < 4).all()
        assert (classes[count:] == -1).all()


def test_every_class_occurs_and_the_field_follows_its_label(fields):
    assert set(fields.label) == {0, 1, 2, 3}
    assert set(fields.classes[fields.classes >= 0]) == {0, 1, 2, 3}
    same = fields.classes == fields.label[:, None]
    share = same.sum() / (fields.classes >= 0).sum()
    assert abs(share - (0.9 + 0.1 / 4)) < 0.06  # purity, and the others that happen to agree


def test_fields_at_the_default_size_hold_a_few_nuclei(fields):
    assert 2 < fields.mask.max((1, 2)).mean() < 6


def test_masks_lie_where_the_light_is(fields):
    inside, outside = fields.clean[fields.mask > 0], fields.clean[fields.mask == 0]
    assert np.median(inside) > 4 * np.median(outside - 100)
    assert np.percentile(inside, 5) > np.median(outside)


@pytest.mark.parametrize("kind", range(4))
def test_sizes_are_physical(kind):
    """The area in µm² neither depends on the pixel nor on the axis, and is that of the declared radius."""
    phenotype = PHENOTYPES[kind]

    @functools.partial(quick_jit, static_argnames="pixel")
    def areas_um2(pixel):
        half = int(reach_um(phenotype, 2) / pixel) + 2
        steps = np.arange(-half, half + 1, dtype=np.float32) * pixel
        points = jnp.stack(jnp.meshgrid(steps, steps, indexing="ij"), -1)

        def area(key):
            inside = light(draw_nucleus(key, PHENOTYPES, jnp.int32(kind), 2), points, pixel)[1]
            edge = inside[0].any() | inside[-1].any() | inside[:, 0].any() | inside[:, -1].any()
            return jnp.sum(inside) * pixel**2, edge

        return jax.vmap(area)(jax.random.split(jax.random.key(0), 200))

    (coarse, edge), (fine, _) = areas_um2(1.0), areas_um2(0.5)
    assert not edge.any()  # `reach_um` holds
    np.testing.assert_allclose(np.mean(coarse), np.mean(fine), rtol=0.02)
    if not phenotype.fragmented:
        # E[r²] over ln r uniform with standard deviation 0.1; the outline adds its variance, a few per cent at most
        expected = np.pi * phenotype.radius_um**2 * np.sinh(2 * 0.1 * 3**0.5) / (2 * 0.1 * 3**0.5)
        assert 0.97 < np.mean(fine) / expected < 1.06


def test_half_the_pixel_size_shows_each_nucleus_on_four_times_the_pixels():
    def areas(pixel, size):
        scope = Microscope(pixel_size_um=pixel, density_per_mm2=300.0, out_of_focus=0.0)
        mask = np.asarray(quick_jit(lambda key: scope.fields(key, 32, size).mask)(jax.random.key(3)))
        return (mask > 0).mean()

    # the covered share of the field is a ratio of areas in µm²: it must not change with the pixel
    assert areas(2.0, (48, 48)) == pytest.approx(areas(1.0, (96, 96)), rel=0.2)


def test_camera_mean_and_variance_follow_the_photon_transfer_curve():
    scope = Microscope(gain=2.0, offset=100.0, read_noise=3.0)
    levels = jnp.array([0.0, 5.0, 50.0, 500.0, 5000.0])
    num = 20000
    counts = np.asarray(jax.jit(record, static_argnums=0)(scope, jax.random.key(0), jnp.tile(levels, (num, 1))))
    signal = np.asarray(levels, np.float64)
    variance = 4 * (signal + 9) + 1 / 12
    np.testing.assert_array_less(np.abs(counts.mean(0) - (100 + 2 * signal)), 4 * np.sqrt(variance / num))
    np.testing.assert_allclose(counts.var(0, dtype=np.float64), variance, rtol=5 * np.sqrt(2 / num))


def test_camera_saturates_at_the_full_well_and_at_sixteen_bits():
    small = Microscope(full_well=1000.0, read_noise=0.0)
    assert int(record(small, jax.random.key(0), jnp.array([5000.0]))[0]) == 100 + 2 * 1000
    large = Microscope(full_well=1e5, read_noise=0.0)
    assert int(record(large, jax.random.key(0), jnp.array([9e4]))[0]) == 65535
    dark = Microscope(offset=0.0, background_electrons=0.0, read_noise=5.0)
    assert int(record(dark, jax.random.key(0), jnp.zeros(1000)).min()) == 0


@pytest.mark.parametrize("shape", [(41, 43), (21, 25, 23)])
def test_blur_keeps_the_light_and_has_the_given_width(shape):
    sigma = 1.7
    point = jnp.zeros(shape).at[tuple(s // 2 for s in shape)].set(5.0)
    image = np.asarray(blur(point, (sigma,) * len(shape), shape), np.float64)
    assert image.sum() == pytest.approx(5.0, rel=1e-5)
    for axis, size in enumerate(shape):
        marginal = image.sum(tuple(a for a in range(len(shape)) if a != axis)) / 5
        steps = np.arange(size) - size // 2
        assert (marginal * steps**2).sum() == pytest.approx(sigma**2 + 1 / 12, rel=1e-3)  # the pixel's own width


def test_blur_of_a_canvas_is_its_middle():
    canvas = jax.random.uniform(jax.random.key(0), (30, 26))
    whole = blur(canvas, (1.5, 2.5), (30, 26))
    np.testing.assert_allclose(blur(canvas, (1.5, 2.5), (10, 8)), whole[10:20, 9:17], rtol=1e-5)


def test_psf_follows_wavelength_and_aperture():
    scope = Microscope(wavelength_um=0.5, numerical_aperture=0.5)
    z, y, x = psf_sigmas_um(scope, 3)
    assert psf_sigmas_um(scope, 2) == (y, x)
    assert x == pytest.approx(0.2251 * 0.5 / 0.5, rel=1e-3)
    finer = psf_sigmas_um(dataclasses.replace(scope, numerical_aperture=1.0), 3)
    assert (finer[0], finer[2]) == pytest.approx((z / 4, x / 2))


def test_stacks():
    field = quick_jit(lambda key: Microscope().field(key, (4, 16, 16)))(jax.random.key(0))
    assert field.image.shape == field.clean.shape == (4, 16, 16, 1)
    assert field.mask.shape == (4, 16, 16)
    assert int(field.mask.max()) > 0


def test_float64_mode_changes_nothing():
    scope = Microscope()
    plain = scope.field(jax.random.key(5), SIZE)
    with jax.enable_x64(True):
        wide = scope.field(jax.random.key(5), SIZE)
    for a, b in zip(plain, wide):
        assert a.dtype == b.dtype
    np.testing.assert_array_equal(plain.mask, wide.mask)
    np.testing.assert_allclose(plain.clean, wide.clean, rtol=1e-5)


@pytest.mark.parametrize(
    "fields",
    [{"pixel_size_um": 0.0}, {"purity": 1.5}, {"electrons": -1.0}, {"gain": float("nan")}, {"phenotypes": ()}],
)
def test_unphysical_settings_are_refused(fields):
    with pytest.raises(ValueError, match=r"got .*; expected .*; to fix: "):
        Microscope(**fields)


@pytest.mark.parametrize("size", [(32,), (0, 32), (2, 3, 4, 5)])
def test_unusable_sizes_are_refused(size):
    with pytest.raises(ValueError, match="expected \\(H, W\\)"):
        Microscope().field(jax.random.key(0), size)
