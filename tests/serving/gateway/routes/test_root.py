def test_the_bare_address_leads_to_the_console(gateway):
    with gateway.client() as stranger:
        response = stranger.get("/")
        assert response.status_code == 303
        assert response.headers["Location"] == "/console/"
        page = stranger.get("/", headers={"Accept": "text/html"}, follow_redirects=True)
    assert page.status_code in {200, 401}
    assert 'action="/console/sign-in"' in page.text
