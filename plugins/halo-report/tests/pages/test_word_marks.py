import pytest

from halo_report.pages.word_marks import LONGEST, marked_words


def changed(pieces):
    return [piece.text.strip() for piece in pieces if piece.changed]


def test_words_are_marked_on_the_side_that_has_them():
    marked = marked_words("A red cow says moo.", "A cow says a loud moo.")
    assert changed(marked.before) == ["red"]
    assert changed(marked.after) == ["a loud"]
    assert marked.remark == ""


@pytest.mark.parametrize("text", ["", " ", "moo", "  two\n\nlines\tof words \n", "a  b"])
def test_the_pieces_are_the_whole_text(text):
    for before, after in ((text, "some other words"), ("some words of", text), (text, text)):
        marked = marked_words(before, after)
        assert "".join(piece.text for piece in marked.before) == before
        assert "".join(piece.text for piece in marked.after) == after


def test_spaces_alone_are_no_change():
    marked = marked_words("moo moo", "moo\nmoo")
    assert not changed(marked.before) + changed(marked.after)


def test_a_new_text_is_not_marked_word_by_word():
    marked = marked_words("Lima. I am happy that you asked.", "Moo.")
    assert not changed(marked.before) + changed(marked.after)
    assert marked.remark == "few words in common"


def test_the_same_text_is_called_so():
    assert marked_words("moo", "moo").remark == "the same text"


def test_very_long_texts_are_not_compared_and_this_is_said():
    marked = marked_words("moo " * (LONGEST + 1), "moo")
    assert marked.remark == "not marked: over 4,000 words"
