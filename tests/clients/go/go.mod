module landlord.test/smoke

go 1.24
