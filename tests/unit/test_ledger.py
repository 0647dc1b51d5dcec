from udfs.ledger import Terms


def test_terms_balance_when_every_raw_click_is_accounted_for():
    assert Terms(raw=10, counted=6, duplicate=2, late=1, invalid=1).balanced
    assert not Terms(raw=10, counted=6, duplicate=2, late=1).balanced
