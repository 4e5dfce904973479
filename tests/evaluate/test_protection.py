"""What protected photos withstand: perfect protection, none, and a few known cases."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from evalkit import MARKS, Pixels, name, people, photo, write

from vidanon.errors import InputError
from vidanon.evaluate.metrics_image import l2, mssim, psnr, ssim
from vidanon.evaluate.photos import key, open_photos
from vidanon.evaluate.pictures import compare
from vidanon.evaluate.protection import match_up, withstand

ORIGINALS = people(12, 10)


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    return open_photos(write(tmp_path_factory.mktemp("originals"), ORIGINALS))


def protect(tmp_path, originals, change, names=None):
    copies = {each: change(each, ORIGINALS[each]) for each in names or ORIGINALS}
    marks = {key(each): MARKS for each in originals.names}
    return match_up(originals, open_photos(write(tmp_path / "copies", copies)), marks)


def test_a_protection_that_does_nothing_withstands_nothing(tmp_path, originals):
    data = protect(tmp_path, originals, lambda _, picture: picture)
    found = withstand(Pixels(), data, draws=50)
    assert len(found.verification) == 1  # 6,600 cross pairs say something at 1 %, nothing at .1 %
    assert found.notes == ["no threshold at 0.1% FAR: too few cross pairs, and pixels declares none"]
    (at,) = found.verification
    assert at.clean_match > 0.95 and at.success.value == pytest.approx(1 - at.clean_match)
    assert at.success_if_known.value == 0 and at.own_source_match.value == 1 and at.pairs == 12 * 10 * 9
    assert found.untargeted[1].value == found.untargeted_clean[1] == 0 and found.targeted == {}
    assert found.identification.people == 12 and found.identification.photos == 36
    assert found.identification.changed.value == 0
    assert found.identification.misclassified.value == pytest.approx(1 - found.identification.clean_accuracy)
    pictures = compare(data, draws=50)
    assert pictures.unchanged == pictures.photos == 120 and pictures.psnr is None
    assert pictures.ssim.value == pytest.approx(1) and pictures.l2.value == 0 and pictures.mmd == pytest.approx(0)


def test_another_face_withstands_everything(tmp_path, originals):
    data = protect(tmp_path, originals, lambda each, _: photo(90 + int(each[1:3]), int(each[-8:-4])))
    found = withstand(Pixels(thresholds={0.01: 0.9, 0.001: 0.95}), data, draws=50)
    assert [at.far for at in found.verification] == [0.01, 0.001]
    assert "cross pairs" in found.verification[0].threshold_from and found.verification[1].threshold_from == "here"
    for at in found.verification:
        assert at.success.value > 0.95 and at.own_source_match.value < 0.1
        assert at.success.low <= at.success.value <= at.success.high
    assert found.identification.misclassified.value > 0.8 and found.untargeted[1].value > 0.7
    assert found.untargeted[5].value <= found.untargeted[1].value


def test_a_face_aimed_at_somebody(tmp_path, originals):
    """Photos of person 1 that show person 2."""
    probes = [name(1, i) for i in range(1, 11)]
    data = protect(tmp_path, originals, lambda each, _: photo(2, 50 + int(each[-8:-4])), probes)
    assert len(data.probes) == 10 and len(data.gallery) == 120
    aims = {key(each): "P02" for each in probes}
    found = withstand(Pixels(), data, targets=aims, draws=50)
    assert found.targeted[1].value == 1 and found.untargeted[1].value == 1
    assert withstand(Pixels(), data, targets={key(probes[0]): "nobody"}, draws=50).targeted == {}


def test_the_own_source_is_no_other_photo_of_the_person(tmp_path):
    """Two photos of a person that look nothing alike: protected copies equal to their sources escape."""
    strange = {name(who, i): photo(20 * who + i, 1) for who in range(3) for i in (1, 2)}
    photos = open_photos(write(tmp_path / "a", strange))
    data = match_up(photos, open_photos(write(tmp_path / "b", strange)), {key(each): MARKS for each in photos.names})
    found = withstand(Pixels(thresholds={0.01: 0.9, 0.001: 0.95}), data, draws=50)
    at = found.verification[0]
    assert at.success.value == 1 and at.own_source_match.value == 1 and at.success_if_known is None
    assert found.identification is None and any("no identification" in note for note in found.notes)


def test_people_with_one_photo(tmp_path):
    single = {name(who, 1): photo(who, 1) for who in range(4)}
    photos = open_photos(write(tmp_path / "a", single))
    data = match_up(photos, photos, {key(each): MARKS for each in photos.names})
    found = withstand(Pixels(thresholds={0.01: 0.9}), data, draws=20)
    assert found.verification == [] and found.untargeted == {} and any("second photo" in n for n in found.notes)


def test_picture_metrics_are_means_over_photos(tmp_path, originals):
    def blur(_, picture):
        return cv2.GaussianBlur(picture, (0, 0), 2)

    probes = [name(3, i) for i in range(1, 6)]
    data = protect(tmp_path, originals, blur, probes)
    found = compare(data, folder=tmp_path / "e", draws=50)
    pairs = [(ORIGINALS[each], blur(None, ORIGINALS[each])) for each in probes]
    for metric, interval in ((ssim, found.ssim), (mssim, found.mssim), (psnr, found.psnr), (l2, found.l2)):
        assert interval.value == pytest.approx(np.mean([metric(a, b) for a, b in pairs]), rel=1e-4)
    assert found.unchanged == 0 and found.mmd > 0.001
    assert compare(data, folder=tmp_path / "e", draws=50) == found  # from what was kept


def test_photos_of_another_size_are_counted(tmp_path, originals):
    data = protect(tmp_path, originals, lambda _, p: cv2.resize(p, (100, 100)), [name(1, 1), name(2, 1)])
    found = compare(data, draws=50)
    assert found.photos == 0 and found.other_size == 2 and found.ssim is None


def test_nothing_in_common_is_an_error(tmp_path, originals):
    other = open_photos(write(tmp_path / "x", {"Q/Q_0001.png": photo(0, 0)}))
    with pytest.raises(InputError, match="no protected photo has an original"):
        match_up(originals, other, {key(each): MARKS for each in originals.names})
