use super::*;

#[test]
fn texts_are_spread_over_all_sentences() {
    let sentences = ["a", "b", "c", "d", "e", "f", "g"];
    assert_eq!(spread(&sentences, 1), ["a"]);
    assert_eq!(spread(&sentences, 2), ["a", "d"]);
    assert_eq!(spread(&sentences, 3), ["a", "c", "e"]);
    assert_eq!(spread(&sentences, 6), ["a", "b", "c", "d", "e", "f"]);
    assert_eq!(spread(&sentences, 7), sentences);
    assert_eq!(spread(&sentences, usize::MAX), sentences);
}

#[test]
fn a_table_of_layers_and_steps() {
    let step = |place: usize, own, loss_alone| Step {
        layer: place / STEPS.len(),
        step: STEPS[place % STEPS.len()].0,
        own,
        accumulated: 2.0 * own,
        loss_alone,
    };
    let mut steps: Vec<Step> = (0..2 * STEPS.len()).map(|place| step(place, 0.0, 0.0)).collect();
    steps[0] = step(0, 0.012_345_6, 1.5e-6);
    steps[8] = step(8, 0.000_002, 2e-6);
    steps[14] = step(14, f64::INFINITY, 0.25);
    let report = Report {
        model: "some/model".to_owned(),
        isa: "avx2",
        precision: "int8",
        split: Some("dev".to_owned()),
        texts: 64,
        tokens: 604,
        steps,
        pooled: 0.03,
        cosine: Agreement { mean: 0.998_765_43, p1: 0.995, min: 0.99 },
        loss: 0.001_234_57,
    };
    let mut text = Vec::new();
    report.print(&mut text).unwrap();
    let expected = "\
        model            some/model\n\
        instruction set  avx2\n\
        precision        int8\n\
        texts            64 of the split \"dev\", 604 tokens\n\
        cosine to f32    mean 0.9987654, p1 0.9950000, min 0.9900000\n\
        \n\
        layer   step                 own error  accumulated  loss alone\n\
        0       query, key, value     1.2346 %     2.4691 %     1.50e-6\n\
        0       attention                    0            0           0\n\
        0       attention output             0            0           0\n\
        0       LayerNorm                    0            0           0\n\
        0       intermediate                 0            0           0\n\
        0       activation                   0            0           0\n\
        0       output                       0            0           0\n\
        0       LayerNorm                    0            0           0\n\
        1       query, key, value     0.0002 %     0.0004 %     2.00e-6\n\
        1       attention                    0            0           0\n\
        1       attention output             0            0           0\n\
        1       LayerNorm                    0            0           0\n\
        1       intermediate                 0            0           0\n\
        1       activation                   0            0           0\n\
        1       output                   inf %        inf %     2.50e-1\n\
        1       LayerNorm                    0            0           0\n\
        all     query, key, value                               3.50e-6\n\
        all     output                                          2.50e-1\n\
        all     sum                                             2.50e-1\n\
        \x20       vector                             3.0000 %     1.23e-3\n";
    assert_eq!(String::from_utf8(text).unwrap(), expected);
}
