def test_the_bare_address_leads_to_the_console(gateway):
    with gateway.client() as stranger:
        response = stranger.get("/")
        assert response.status_code == 303
        assert response.headers["Location"] == "/console/"
        page = stranger.get("/", follow_redirects=True)
    assert page.status_code == 200
    assert "text/html" in page.headers["Content-Type"]
