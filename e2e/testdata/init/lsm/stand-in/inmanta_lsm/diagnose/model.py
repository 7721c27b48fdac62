class FullDiagnosis:
    pass
